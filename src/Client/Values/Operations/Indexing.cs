namespace Ndif;

// Picking and placing elements.
public partial class Value
{
    /// <summary>PyTorch's <c>index_select(Tensor self, int dim, Tensor index) -&gt; Tensor</c></summary>
    public Value IndexSelect(Value dim, Value index) => Record("index_select", [this, dim, index]);

    /// <summary>PyTorch's <c>gather(Tensor self, int dim, Tensor index) -&gt; Tensor</c></summary>
    public Value Gather(Value dim, Value index) => Record("gather", [this, dim, index]);

    /// <summary>PyTorch's <c>take(Tensor self, Tensor index) -&gt; Tensor</c></summary>
    public Value Take(Value index) => Record("take", [this, index]);

    /// <summary>PyTorch's <c>take_along_dim(Tensor self, Tensor indices, int? dim=None) -&gt; Tensor</c></summary>
    public Value TakeAlongDim(Value indices, Value? dim = null) => Record("take_along_dim", [this, indices], ("dim", dim));

    /// <summary>PyTorch's <c>masked_select(Tensor self, Tensor mask) -&gt; Tensor</c></summary>
    public Value MaskedSelect(Value mask) => Record("masked_select", [this, mask]);

    /// <summary>PyTorch's <c>masked_fill(Tensor self, Tensor mask, Operand value) -&gt; Tensor</c></summary>
    public Value MaskedFill(Value mask, Value value) => Record("masked_fill", [this, mask, value]);

    /// <summary>PyTorch's <c>masked_scatter(Tensor self, Tensor mask, Tensor source) -&gt; Tensor</c></summary>
    public Value MaskedScatter(Value mask, Value source) => Record("masked_scatter", [this, mask, source]);

    /// <summary>Indices [found, dimensions], or with as_tuple a tensor for each dimension. PyTorch's <c>nonzero(Tensor self, *, bool as_tuple=False) -&gt; Any</c></summary>
    public Value NonZero(bool asTuple = false) => Record("nonzero", [this], ("as_tuple", asTuple ? true : null));

    /// <summary>PyTorch's <c>argwhere(Tensor self) -&gt; Tensor</c></summary>
    public Value ArgWhere() => Record("argwhere", [this]);

    /// <summary>PyTorch's <c>index_put(Tensor self, Any indices, Operand values, bool accumulate=False) -&gt; Tensor</c></summary>
    public Value IndexPut(Value indices, Value values, bool accumulate = false) => Record("index_put", [this, indices, values], ("accumulate", accumulate ? true : null));

    /// <summary>PyTorch's <c>index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -&gt; Tensor</c></summary>
    public Value IndexAdd(Value dim, Value index, Value source, Value? alpha = null) => Record("index_add", [this, dim, index, source], ("alpha", alpha));

    /// <summary>PyTorch's <c>index_copy(Tensor self, int dim, Tensor index, Tensor source) -&gt; Tensor</c></summary>
    public Value IndexCopy(Value dim, Value index, Value source) => Record("index_copy", [this, dim, index, source]);

    /// <summary>PyTorch's <c>index_fill(Tensor self, int dim, Tensor index, Operand value) -&gt; Tensor</c></summary>
    public Value IndexFill(Value dim, Value index, Value value) => Record("index_fill", [this, dim, index, value]);

    /// <summary>PyTorch's <c>scatter(Tensor self, int dim, Tensor index, Operand src) -&gt; Tensor</c></summary>
    public Value Scatter(Value dim, Value index, Value src) => Record("scatter", [this, dim, index, src]);

    /// <summary>PyTorch's <c>scatter_add(Tensor self, int dim, Tensor index, Tensor src) -&gt; Tensor</c></summary>
    public Value ScatterAdd(Value dim, Value index, Value src) => Record("scatter_add", [this, dim, index, src]);

    /// <summary>PyTorch's <c>select_scatter(Tensor self, Tensor src, int dim, int index) -&gt; Tensor</c></summary>
    public Value SelectScatter(Value src, Value dim, Value index) => Record("select_scatter", [this, src, dim, index]);

    /// <summary>PyTorch's <c>slice_scatter(Tensor self, Tensor src, int dim=0, int? start=None, int? end=None, int step=1) -&gt; Tensor</c></summary>
    public Value SliceScatter(Value src, Value? dim = null, Value? start = null, Value? end = null, Value? step = null) => Record("slice_scatter", [this, src], ("dim", dim), ("start", start), ("end", end), ("step", step));
}

// Picking and placing elements.
public static partial class Op
{
    /// <summary>PyTorch's <c>where(Tensor condition, Operand self, Operand other) -&gt; Tensor</c></summary>
    public static Value Where(Value condition, Value self, Value other) => Value.Record("where", [condition, self, other]);
}
