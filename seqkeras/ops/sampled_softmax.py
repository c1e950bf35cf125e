"""Training losses that look at the target and at k sampled words instead of all V.

    s_w = h . E_w + b_w                           score of word w
    q_w                                           how often w is drawn: k samples, with replacement
    c_w = s_w - log(k q_w)                        corrected score

    importance sampling    -log softmax(c_t, c_j..)_t         Bengio & Senecal 2003; Jean et al.
                                                              2015 (arXiv:1412.2007), section 3.1
    noise contrast (NCE)   -log sig(c_t) - sum_j log sig(-c_j)    Gutmann & Hyvarinen 2010; Mnih &
                                                              Teh 2012 (arXiv:1206.6426), eq. 8
    negative sampling      -log sig(s_t) - sum_j log sig(-s_j)    Mikolov et al. 2013b
                                                              (arXiv:1310.4546), eq. 4
    BlackOut               -log p_t - sum_j log(1 - p_j), p = softmax(c_t, c_j..)
                                                              Ji et al. 2015 (arXiv:1511.06909)

The samples j are the same for all rows. Where one is a row's target, the softmaxes leave it out of
that row; to the logistic losses it is noise like any other, or their best scores would not be the
ones that evaluation takes them for. In nats, one loss for each row.
"""

from keras import ops

from seqkeras.ops.masks import HIDDEN


def candidate_scores(rows, labels, samples, look_up):
    """Returns float32 s_t `(N,)` and s_j `(N, k)`, and where a sample is the target, `(N, k)`.

    Args:
        rows: Float tensor `(N, D)`, h.
        labels: Integer tensor `(N,)`.
        samples: Integer tensor `(k,)`.
        look_up: Function from words `(M,)` to E_w `(M, D)` and b_w `(M,)`.
    """
    labels, samples = ops.cast(labels, "int32"), ops.cast(samples, "int32")
    n = ops.shape(labels)[0]
    words = ops.concatenate([labels, samples], axis=0)
    vectors, biases = look_up(words)
    vectors, biases = ops.cast(vectors, rows.dtype), ops.cast(biases, "float32")
    of_targets = ops.cast(ops.sum(rows * vectors[:n], axis=-1), "float32")
    of_samples = ops.cast(ops.matmul(rows, ops.transpose(vectors[n:])), "float32")
    hits = ops.equal(ops.expand_dims(labels, 1), ops.expand_dims(samples, 0))
    return of_targets + biases[:n], of_samples + biases[n:], hits


def importance_loss(targets, samples, hits):
    """-log softmax of corrected scores `(N,)` and `(N, k)`, at the target: `(N,)`."""
    return -_log_shares(targets, samples, hits)[:, 0]


def blackout_loss(targets, samples, hits):
    """The discriminative loss of corrected scores `(N,)` and `(N, k)`: `(N,)`."""
    log_shares = _log_shares(targets, samples, hits)
    # log(1 - p) = log sum of all others' exp: from p itself, bounded away from log 0.
    others = ops.log1p(-ops.minimum(ops.exp(log_shares[:, 1:]), 1.0 - 1e-6))
    return -log_shares[:, 0] - ops.sum(ops.where(hits, 0.0, others), axis=-1)


def logistic_loss(targets, samples, hits):
    """Tells the target from the samples: `(N,)` of scores `(N,)` and `(N, k)`."""
    del hits
    return ops.softplus(-targets) + ops.sum(ops.softplus(samples), axis=-1)


def _log_shares(targets, samples, hits):
    scores = ops.concatenate(
        [ops.expand_dims(targets, 1), ops.where(hits, HIDDEN, samples)], axis=1
    )
    return ops.log_softmax(scores, axis=-1)
