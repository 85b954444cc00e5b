import keras
from keras import ops

from keras_attn.lookup import flag, whole_number
from keras_attn.memory import addressing
from keras_attn.memory.recurrent import MemoryCell, RecurrentMemory


@keras.saving.register_keras_serializable(package="keras_attn")
class DifferentiableNeuralComputerCell(MemoryCell):
    """One step of a differentiable neural computer, for `keras.layers.RNN`; see `DifferentiableNeuralComputer`.

    Its output is `[h_t; r_t]`, what the controller says and what the heads have read. It computes in float32 whatever
    the policy; a `keras.layers.RNN` around it rounds states that it returns or stores to its own, so under a mixed
    policy give it `dtype="float32"`.

    Args:
        units: width of the controller, at least 1; a cell as controller has its own.
        slots: N, at least 1.
        slot_width: d, at least 1.
        read_heads: how many heads read, at least 1.
        write_heads: how many heads write, at least 1.
        controller: "lstm", "gru", "feed_forward", or one of Keras's recurrent cells.
        links: "full", None, or K, how many links are kept for each slot, from 1 to `slots`.
        masked_keys: whether a key says which of its channels count.
        erase_freed: whether slots that are freed are emptied.
        sharpened_links: whether what links point at is sharpened.

    Call arguments:
        inputs: `(B, D)`.
        states: what `get_initial_state(batch_size)` or the last call gave, each `(B, size)`.

    Returns:
        `(B, units + read_heads d)` and the next states, of which the output is the first.

    Example:
    >>> cell = DifferentiableNeuralComputerCell(units=8, slots=11, slot_width=5)
    >>> tuple(keras.layers.RNN(cell, return_sequences=True)(keras.random.normal((2, 7, 3))).shape)
    (2, 7, 13)

    Reference: Graves et al., 2016, https://doi.org/10.1038/nature20101, Methods.
    """

    def __init__(
        self,
        units,
        slots=32,
        slot_width=16,
        read_heads=1,
        write_heads=1,
        controller="lstm",
        links="full",
        masked_keys=False,
        erase_freed=False,
        sharpened_links=False,
        **kwargs,
    ):
        super().__init__(units, slots, slot_width, read_heads, write_heads, controller, **kwargs)
        if links not in ("full", None):
            whole_number("links", links)
            if links > slots:
                raise ValueError(
                    f"`links` is 'full', None, or how many of the {slots} slots each is linked to. "
                    f"Received: links={links}"
                )
        self.links = links
        self.masked_keys = flag("masked_keys", masked_keys)
        self.erase_freed = flag("erase_freed", erase_freed)
        self.sharpened_links = flag("sharpened_links", sharpened_links)
        if sharpened_links and links is None:
            raise ValueError("Without links there is nothing to sharpen. Received: links=None, sharpened_links=True")

    @property
    def interface(self):
        reads, writes, width = self.read_heads, self.write_heads, self.slot_width
        # Backward along each writing head's links, by content, forward along each one's links.
        modes = 1 if self.links is None else 1 + 2 * writes
        asked = {
            "read_keys": (reads, width),
            "read_strengths": (reads,),
            "write_keys": (writes, width),
            "write_strengths": (writes,),
            "erase": (writes, width),
            "add": (writes, width),
            "free_gates": (reads,),
            "allocation_gates": (writes,),
            "write_gates": (writes,),
        }
        if modes > 1:
            asked["modes"] = (reads, modes)
        if self.masked_keys:
            asked["read_masks"], asked["write_masks"] = (reads, width), (writes, width)
        if self.sharpened_links:
            asked["link_exponents"] = (2 * writes, reads)
        return asked

    @property
    def memory_shapes(self):
        slots, writes = self.slots, self.write_heads
        kept = {
            "memory": (slots, self.slot_width),
            "usage": (slots,),
            "read_weights": (self.read_heads, slots),
            "write_weights": (writes, slots),
        }
        if self.links is not None:
            kept["precedence"] = (writes, slots)
        if self.links == "full":
            kept["links"] = (writes, slots, slots)
        elif self.links is not None:
            kept["link_strengths"] = kept["link_places"] = (writes, slots, self.links)
        return kept

    def initial_memory(self):
        if self.links in ("full", None):
            return {}
        _, places = addressing.no_sparse_links(1, self.slots, self.links)
        return {"link_places": ops.cast(places, "float32")}

    def access(self, asked, memory):
        kept = addressing.retention(memory["read_weights"], ops.sigmoid(asked["free_gates"]))
        usage = addressing.usage(memory["usage"], memory["write_weights"], kept)
        written = self._write_weights(asked, memory["memory"], usage)
        rows = memory["memory"] * kept[..., None] if self.erase_freed else memory["memory"]
        rows = addressing.write(rows, written, ops.sigmoid(asked["erase"]), asked["add"])
        links, *pointed = self._linked(memory, written)
        read = self._read_weights(asked, rows, *pointed)
        after = {"memory": rows, "usage": usage, "read_weights": read, "write_weights": written, **links}
        return addressing.read(rows, read), after

    def _write_weights(self, asked, rows, usage):
        content = self._content("write", asked, rows)
        allocation_gates, write_gates = ops.sigmoid(asked["allocation_gates"]), ops.sigmoid(asked["write_gates"])
        given = addressing.allocations(usage, allocation_gates * write_gates)
        return write_gates[..., None] * addressing.interpolate(given, content, allocation_gates)

    def _content(self, which, asked, rows):
        masks = ops.sigmoid(asked[f"{which}_masks"]) if self.masked_keys else None
        strengths = 1.0 + ops.softplus(asked[f"{which}_strengths"])
        return addressing.content_weights(asked[f"{which}_keys"], strengths, rows, masks)

    def _linked(self, memory, written):
        """Links and precedence after writing, by their names, and where they point from what was read, both ways."""
        if self.links is None:
            return ({},)
        before = memory["precedence"]
        read = ops.stack([memory["read_weights"]] * self.write_heads, axis=1)
        parts = [self._for_each_head(x) for x in (written, before, read)]
        if self.links == "full":
            # With batch and heads as one axis: with two, products of matrices take twice as long on jax.
            links, *pointed = addressing.link_and_follow(self._for_each_head(memory["links"]), *parts)
            kept = {"links": ops.reshape(links, (-1, *self.memory_shapes["links"]))}
        else:
            strengths, places = (self._for_each_head(x) for x in (memory["link_strengths"], self._places(memory)))
            strengths, places = addressing.sparse_link(strengths, places, *parts[:2])
            pointed = addressing.sparse_follow(strengths, places, parts[2])
            kept = {"link_strengths": self._as_kept(strengths), "link_places": self._as_kept(places)}
        shape = (-1, self.write_heads, self.read_heads, self.slots)
        pointed = (ops.reshape(x, shape) for x in pointed)
        return {**kept, "precedence": addressing.precedence(before, written)}, *pointed

    def _read_weights(self, asked, rows, forward=None, backward=None):
        content = self._content("read", asked, rows)
        if self.links is None:
            return content
        # (B, W, R, N), one way after the other
        pointed = ops.concatenate([backward, forward], axis=1)
        if self.sharpened_links:
            pointed = addressing.sharpen(pointed, 1.0 + ops.softplus(asked["link_exponents"]))
        # (B, R, 1 + 2 W): the paper's order is backward, content, forward.
        modes, writes = ops.softmax(asked["modes"], axis=-1), self.write_heads
        weights = modes[:, :, writes, None] * content
        for place in range(2 * writes):
            mode = place if place < writes else place + 1
            weights = weights + modes[:, :, mode, None] * pointed[:, place]
        return weights

    def _places(self, kept):
        """Places of links as the numbers that they are; states are floats, which somebody may have rounded."""
        return ops.cast(ops.clip(ops.round(kept["link_places"]), 0, self.slots - 1), "int32")

    def _for_each_head(self, x):
        """`(B, W, ...)` to `(B W, ...)`."""
        return ops.reshape(x, (-1, *x.shape[2:]))

    def _as_kept(self, x):
        """`(B W, N, K)` to `(B, W, N, K)`, as floats."""
        return ops.cast(ops.reshape(x, (-1, self.write_heads, self.slots, self.links)), "float32")

    def weights_of(self, memory):
        return ops.concatenate([memory["read_weights"], memory["write_weights"]], axis=1)

    def get_config(self):
        options = {
            "links": self.links,
            "masked_keys": self.masked_keys,
            "erase_freed": self.erase_freed,
            "sharpened_links": self.sharpened_links,
        }
        return {**super().get_config(), **options}


@keras.saving.register_keras_serializable(package="keras_attn")
class DifferentiableNeuralComputer(RecurrentMemory):
    """A differentiable neural computer: it writes where there is room, and reads by content or in the order of writing.

    What is used, `u_t = (u_{t-1} + w_w - u_{t-1} ∘ w_w) ∘ Π_r (1 - f_r w_r)` with the last step's weights, says where
    there is room: `a[φ_j] = (1 - u[φ_j]) Π_{i<j} u[φ_i]`, φ the slots from the least used on. Written is with
    `w_w = g_w (g_a a + (1 - g_a) c_w)`, `M_t = M_{t-1} ∘ (1 - w_w e') + w_w v'`. Links say what was written right after
    what: `L_ij = (1 - w_i - w_j) L_ij + w_i p_j`, `L_ii = 0`, with `p_t = (1 - Σ w_w) p_{t-1} + w_w`. Then is read,
    `r_t = Σ_i w_r(i) M_t(i)`, with `w_r = π_1 L' w_r + π_2 c_r + π_3 L w_r`: backward, by content, forward.
    Contents are compared by `c = softmax(β cos(k, M))`. The controller sees `x_t` and `r_{t-1}`; the output is
    `W [h_t; r_t] + b`. Masks and gates are bent by sigmoid, modes by softmax, `β = 1 + softplus`, all of what is held
    within ±20.

    Several writing heads are given room one after another and have links of their own. Sparse links keep the K
    strongest of each slot, new ones being made from the K largest weights; time and memory then grow with N K instead
    of N^2, but for what is used, which is compared in pairs. It is a recurrence, always causal; padded positions leave
    state and memory as they are. State and memory are float32 whatever the policy.

    Args:
        slots: N, at least 1.
        slot_width: d, at least 1.
        read_heads: R, how many heads read, at least 1.
        write_heads: how many heads write, at least 1; all erase, then all add.
        links: "full", None, or K, how many links are kept for each slot, from 1 to `slots`.
        masked_keys: whether a key says which of its channels count: `cos(k ∘ m, M ∘ m)`.
        erase_freed: whether slots that are freed are emptied too: `M_{t-1} ∘ Π_r (1 - f_r w_r)` is written to.
        sharpened_links: whether what links point at is sharpened, `f_i^s / Σ_j f_j^s`: links blur with each step.
        controller: "lstm", "gru", "feed_forward", or one of Keras's recurrent cells.
        units: width of the controller, at least 1; None for that of the inputs.
        stateful: whether a call starts with the memory that the last one left; see `reset_state`, `stored_state` and
            `restore_state`. The batch size must then be known and stay.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions.
        use_causal_mask: changes nothing.
        return_attention_scores: whether to return the weights `(B, H, T, N)` too, H counting the reading heads first,
            then the writing ones. They may sum to less than one.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> layer = DifferentiableNeuralComputer(slots=11, slot_width=5, read_heads=2, links=3)
    >>> mix, weights = layer(keras.random.normal((2, 7, 3)), return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 7, 3), (2, 3, 7, 11))

    Reference: Graves et al., 2016, https://doi.org/10.1038/nature20101, Methods; Csordás and Schmidhuber, 2019,
    https://arxiv.org/abs/1904.10278, sections 3.1 to 3.3 (the options); Rae et al., 2016,
    https://arxiv.org/abs/1610.09027 (sparse links).
    """

    weights_are = "nonnegative"

    def __init__(
        self,
        slots=32,
        slot_width=16,
        read_heads=1,
        write_heads=1,
        links="full",
        masked_keys=False,
        erase_freed=False,
        sharpened_links=False,
        controller="lstm",
        units=None,
        stateful=False,
        **kwargs,
    ):
        self.links = links
        self.masked_keys = masked_keys
        self.erase_freed = erase_freed
        self.sharpened_links = sharpened_links
        super().__init__(slots, slot_width, read_heads, write_heads, controller, units, stateful, **kwargs)

    def make_cell(self, units):
        return DifferentiableNeuralComputerCell(
            units,
            self.slots,
            self.slot_width,
            self.read_heads,
            self.write_heads,
            self.controller,
            self.links,
            self.masked_keys,
            self.erase_freed,
            self.sharpened_links,
            name="cell",
        )

    def get_config(self):
        options = {
            "links": self.links,
            "masked_keys": self.masked_keys,
            "erase_freed": self.erase_freed,
            "sharpened_links": self.sharpened_links,
        }
        return {**super().get_config(), **options}
