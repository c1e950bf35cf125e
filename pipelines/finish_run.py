"""What every pipeline leaves in a run when training has ended."""

import keras


def finish_run(run, model, history):
    """Saves the learning curve and the model, without its optimizer, and says where."""
    from seqkeras.analysis.figures import save_png
    from seqkeras.analysis.learning_curve import plot_learning_curve

    save_png(plot_learning_curve(history), run.plots / "learning_curve.png")
    keras.Model(model.input, model.output, name=model.name).save(run.model)
    print(f"model: {run.model}; curves: tensorboard --logdir {run.logs}", flush=True)
