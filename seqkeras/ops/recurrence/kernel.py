"""What the loop needs to know of a recurrence: one step forwards, one step backwards."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

BEFORE, SAVED = "before", "saved"


class Product(NamedTuple):
    """A product y = x U of the loop: where x and dL/dy are found again after it.

    Attributes:
        place: BEFORE if x is a state before the step, SAVED if `forward` saved it, or None for a
            bias, y = ... + U.
        index: Which of the states, or of what was saved.
        by_input: If y is only added to one of the inputs z, which one: its gradient is that of y.
    """

    place: str | None
    index: int = 0
    by_input: int | None = None


class Pullback(NamedTuple):
    """What one step backwards returns.

    Attributes:
        inputs: List of gradients by the inputs z_t.
        states: List of gradients by the states before the step.
        products: Dict from the name of a weight U to the gradient by y = x U, for the products that
            have no `by_input`.
        sums: Dict from the name of a weight that is in no product to its gradient, which is added
            up over the steps.
    """

    inputs: list
    states: list
    products: dict
    sums: dict


class StepKernel:
    """One step of a recurrence whose output is its first state.

    A subclass writes both directions as pure functions of tensors, and sets the attributes.

    Attributes:
        products: Dict from the name of a weight to its `Product`.
        sums: Names of the weights that are in no product.
        reads_inputs: Whether `backward` reads z_t.
    """

    products: Mapping = MappingProxyType({})
    sums: tuple = ()
    reads_inputs = False

    def forward(self, z_t, states, weights):
        """Returns `(new states, saved)`, lists of tensors.

        Args:
            z_t: List of tensors `(B, ...)`.
            states: List of tensors `(B, H)`.
            weights: Dict of tensors.
        """
        raise NotImplementedError

    def backward(self, z_t, states, saved, gradients, weights, transposed) -> Pullback:
        """Pulls the gradients by the new states back.

        Args:
            z_t: As in `forward`, or None unless `reads_inputs`.
            states: The states before the step.
            saved: What `forward` saved.
            gradients: List of gradients by the new states.
            weights: Dict of tensors.
            transposed: Dict of the transposes of the weights that multiply.
        """
        raise NotImplementedError
