"""A softmax as a walk down a binary tree; Morin & Bengio 2005; notes B 3.1.

    s_n = h . E_n + b_n                             one score for each of the V - 1 inner nodes
    p(left at n | h) = sig(s_n)
    p(w | h) = prod over the nodes n on the way to w of sig(d_n s_n),   d_n = 1 left, -1 right

What goes left and what goes right at a node adds up to 1, so the leaves do.
"""

from keras import ops


def path_losses(rows, labels, nodes, turns, table, bias):
    """Returns -log p of the labels, float32 `(N,)`, from the nodes on their ways alone.

    Args:
        rows: Float tensor `(N, D)`, h.
        labels: Integer tensor `(N,)`.
        nodes, turns: `(V, depth)`, the ways: see `seqkeras.heads.trees.Tree`.
        table: Float tensor `(V - 1, D)`, E.
        bias: Float tensor `(V - 1,)`, b.
    """
    way = ops.take(ops.convert_to_tensor(nodes), labels, axis=0)  # (N, depth)
    turn = ops.take(ops.convert_to_tensor(turns), labels, axis=0)
    vectors = ops.cast(ops.take(table, way, axis=0), rows.dtype)  # (N, depth, D)
    scores = ops.squeeze(ops.matmul(vectors, ops.expand_dims(rows, -1)), -1)
    scores = ops.cast(scores, "float32") + ops.cast(ops.take(bias, way, axis=0), "float32")
    return ops.sum(ops.softplus(-turn * scores) * ops.abs(turn), axis=-1)


def leaf_log_probs(scores, tree):
    """Returns log p of all leaves, float32 `(N, V)`, from the scores `(N, V - 1)`, float32.

    Args:
        scores: s of all inner nodes.
        tree: `seqkeras.heads.trees.Tree`.
    """
    reached = ops.zeros_like(scores[:, :1]) if tree.inner else scores  # log p of the root
    found, first = [], 0
    for inner, leaves in zip(tree.inner, tree.leaves, strict=True):
        here = scores[:, first : first + reached.shape[1]]
        first += reached.shape[1]
        both = ops.stack([reached - ops.softplus(-here), reached - ops.softplus(here)], axis=-1)
        both = ops.reshape(both, (-1, 2 * reached.shape[1]))
        found.append(ops.take(both, leaves, axis=1))
        reached = ops.take(both, inner, axis=1)
    return ops.take(ops.concatenate(found, axis=1), tree.order, axis=1)
