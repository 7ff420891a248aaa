namespace Ndif;

// New tensors.
public partial class Value
{
    /// <summary>PyTorch's <c>new_zeros(Tensor self, int[] size, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value NewZeros(Ints size, DType? dtype = null) => Record("new_zeros", [this, size], ("dtype", dtype));

    /// <summary>PyTorch's <c>new_ones(Tensor self, int[] size, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value NewOnes(Ints size, DType? dtype = null) => Record("new_ones", [this, size], ("dtype", dtype));

    /// <summary>PyTorch's <c>new_full(Tensor self, int[] size, Scalar fill_value, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value NewFull(Ints size, Value fillValue, DType? dtype = null) => Record("new_full", [this, size, fillValue], ("dtype", dtype));

    /// <summary>PyTorch's <c>one_hot(Tensor self, int num_classes=-1) -&gt; Tensor</c></summary>
    public Value OneHot(Value? numClasses = null) => Record("one_hot", [this], ("num_classes", numClasses));

    /// <summary>PyTorch's <c>tril(Tensor self, int diagonal=0) -&gt; Tensor</c></summary>
    public Value Tril(Value? diagonal = null) => Record("tril", [this], ("diagonal", diagonal));

    /// <summary>PyTorch's <c>triu(Tensor self, int diagonal=0) -&gt; Tensor</c></summary>
    public Value Triu(Value? diagonal = null) => Record("triu", [this], ("diagonal", diagonal));

    /// <summary>PyTorch's <c>diag(Tensor self, int diagonal=0) -&gt; Tensor</c></summary>
    public Value Diag(Value? diagonal = null) => Record("diag", [this], ("diagonal", diagonal));

    /// <summary>PyTorch's <c>diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -&gt; Tensor</c></summary>
    public Value DiagEmbed(Value? offset = null, Value? dim1 = null, Value? dim2 = null) => Record("diag_embed", [this], ("offset", offset), ("dim1", dim1), ("dim2", dim2));
}

// New tensors.
public static partial class Op
{
    /// <summary>PyTorch's <c>zeros(int[] size, *, ScalarType? dtype=None, Device? device=None) -&gt; Tensor</c></summary>
    public static Value Zeros(Ints size, DType? dtype = null, string? device = null) => Value.Record("zeros", [size], ("dtype", dtype), ("device", device));

    /// <summary>PyTorch's <c>ones(int[] size, *, ScalarType? dtype=None, Device? device=None) -&gt; Tensor</c></summary>
    public static Value Ones(Ints size, DType? dtype = null, string? device = null) => Value.Record("ones", [size], ("dtype", dtype), ("device", device));

    /// <summary>PyTorch's <c>full(int[] size, Scalar fill_value, *, ScalarType? dtype=None, Device? device=None) -&gt; Tensor</c></summary>
    public static Value Full(Ints size, Value fillValue, DType? dtype = null, string? device = null) => Value.Record("full", [size, fillValue], ("dtype", dtype), ("device", device));

    /// <summary>Arange(5) counts to 5, arange(2, 5) from 2. PyTorch's <c>arange(Scalar start, Scalar? end=None, Scalar step=1, *, ScalarType? dtype=None, Device? device=None) -&gt; Tensor</c></summary>
    public static Value Arange(Value start, Value? end = null, Value? step = null, DType? dtype = null, string? device = null) => Value.Record("arange", [start], ("end", end), ("step", step), ("dtype", dtype), ("device", device));

    /// <summary>PyTorch's <c>linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None, Device? device=None) -&gt; Tensor</c></summary>
    public static Value LinSpace(Value start, Value end, Value steps, DType? dtype = null, string? device = null) => Value.Record("linspace", [start, end, steps], ("dtype", dtype), ("device", device));

    /// <summary>PyTorch's <c>logspace(Scalar start, Scalar end, int steps, float base=10.0, *, ScalarType? dtype=None, Device? device=None) -&gt; Tensor</c></summary>
    public static Value LogSpace(Value start, Value end, Value steps, Value? @base = null, DType? dtype = null, string? device = null) => Value.Record("logspace", [start, end, steps], ("base", @base), ("dtype", dtype), ("device", device));

    /// <summary>PyTorch's <c>eye(int n, int? m=None, *, ScalarType? dtype=None, Device? device=None) -&gt; Tensor</c></summary>
    public static Value Eye(Value n, Value? m = null, DType? dtype = null, string? device = null) => Value.Record("eye", [n], ("m", m), ("dtype", dtype), ("device", device));

    /// <summary>From numbers, nested lists of numbers, or a list of tensors of one shape. PyTorch's <c>tensor(Any data, *, ScalarType? dtype=None, Device? device=None) -&gt; Tensor</c></summary>
    public static Value Tensor(Value data, DType? dtype = null, string? device = null) => Value.Record("tensor", [data], ("dtype", dtype), ("device", device));

    /// <summary>PyTorch's <c>zeros_like(Tensor self, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public static Value ZerosLike(Value self, DType? dtype = null) => Value.Record("zeros_like", [self], ("dtype", dtype));

    /// <summary>PyTorch's <c>ones_like(Tensor self, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public static Value OnesLike(Value self, DType? dtype = null) => Value.Record("ones_like", [self], ("dtype", dtype));

    /// <summary>PyTorch's <c>full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public static Value FullLike(Value self, Value fillValue, DType? dtype = null) => Value.Record("full_like", [self, fillValue], ("dtype", dtype));

    /// <summary>PyTorch's <c>tril_indices(int row, int col, int offset=0) -&gt; Tensor</c></summary>
    public static Value TrilIndices(Value row, Value col, Value? offset = null) => Value.Record("tril_indices", [row, col], ("offset", offset));

    /// <summary>PyTorch's <c>triu_indices(int row, int col, int offset=0) -&gt; Tensor</c></summary>
    public static Value TriuIndices(Value row, Value col, Value? offset = null) => Value.Record("triu_indices", [row, col], ("offset", offset));

    /// <summary>PyTorch's <c>meshgrid(Tensor[] tensors, *, str indexing='ij') -&gt; Tensor[]</c></summary>
    public static Value MeshGrid(IEnumerable<Value> tensors, string? indexing = null) => Value.Record("meshgrid", [tensors], ("indexing", indexing));
}
