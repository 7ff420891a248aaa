namespace Ndif;

// Other shapes of the same elements.
public partial class Value
{
    /// <summary>PyTorch's <c>view(Tensor self, int[] size) -&gt; Tensor</c></summary>
    public Value View(params Ints size) => Record("view", [this, size]);

    /// <summary>PyTorch's <c>reshape(Tensor self, int[] shape) -&gt; Tensor</c></summary>
    public Value Reshape(params Ints shape) => Record("reshape", [this, shape]);

    /// <summary>PyTorch's <c>view_as(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value ViewAs(Value other) => Record("view_as", [this, other]);

    /// <summary>PyTorch's <c>reshape_as(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value ReshapeAs(Value other) => Record("reshape_as", [this, other]);

    /// <summary>PyTorch's <c>transpose(Tensor self, int dim0, int dim1) -&gt; Tensor</c></summary>
    public Value Transpose(Value dim0, Value dim1) => Record("transpose", [this, dim0, dim1]);

    /// <summary>The last two dimensions exchanged. PyTorch's <c>mT(Tensor self) -&gt; Tensor</c></summary>
    public Value MT => Record("mT", [this]);

    /// <summary>PyTorch's <c>t(Tensor self) -&gt; Tensor</c></summary>
    public Value T() => Record("t", [this]);

    /// <summary>PyTorch's <c>permute(Tensor self, int[] dims) -&gt; Tensor</c></summary>
    public Value Permute(params Ints dims) => Record("permute", [this, dims]);

    /// <summary>PyTorch's <c>movedim(Tensor self, int[] source, int[] destination) -&gt; Tensor</c></summary>
    public Value MoveDim(Ints source, params Ints destination) => Record("movedim", [this, source, destination]);

    /// <summary>PyTorch's <c>squeeze(Tensor self, int[]? dim=None) -&gt; Tensor</c></summary>
    public Value Squeeze(Ints? dim = null) => Record("squeeze", [this], ("dim", dim));

    /// <summary>PyTorch's <c>unsqueeze(Tensor self, int dim) -&gt; Tensor</c></summary>
    public Value Unsqueeze(Value dim) => Record("unsqueeze", [this, dim]);

    /// <summary>PyTorch's <c>expand(Tensor self, int[] size) -&gt; Tensor</c></summary>
    public Value Expand(params Ints size) => Record("expand", [this, size]);

    /// <summary>PyTorch's <c>expand_as(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value ExpandAs(Value other) => Record("expand_as", [this, other]);

    /// <summary>PyTorch's <c>broadcast_to(Tensor self, int[] size) -&gt; Tensor</c></summary>
    public Value BroadcastTo(params Ints size) => Record("broadcast_to", [this, size]);

    /// <summary>PyTorch's <c>repeat(Tensor self, int[] repeats) -&gt; Tensor</c></summary>
    public Value Repeat(params Ints repeats) => Record("repeat", [this, repeats]);

    /// <summary>PyTorch's <c>tile(Tensor self, int[] dims) -&gt; Tensor</c></summary>
    public Value Tile(params Ints dims) => Record("tile", [this, dims]);

    /// <summary>PyTorch's <c>repeat_interleave(Tensor self, Any repeats, int? dim=None) -&gt; Tensor</c></summary>
    public Value RepeatInterleave(Value repeats, Value? dim = null) => Record("repeat_interleave", [this, repeats], ("dim", dim));

    /// <summary>PyTorch's <c>flatten(Tensor self, int start_dim=0, int end_dim=-1) -&gt; Tensor</c></summary>
    public Value Flatten(Value? startDim = null, Value? endDim = null) => Record("flatten", [this], ("start_dim", startDim), ("end_dim", endDim));

    /// <summary>PyTorch's <c>unflatten(Tensor self, int dim, int[] sizes) -&gt; Tensor</c></summary>
    public Value Unflatten(Value dim, params Ints sizes) => Record("unflatten", [this, dim, sizes]);

    /// <summary>PyTorch's <c>unfold(Tensor self, int dimension, int size, int step) -&gt; Tensor</c></summary>
    public Value Unfold(Value dimension, Value size, Value step) => Record("unfold", [this, dimension, size, step]);

    /// <summary>One number: parts of that size; a list: these sizes. PyTorch's <c>split(Tensor self, int[] split_size, int dim=0) -&gt; Tensor[]</c></summary>
    public Value Split(Ints splitSize, Value? dim = null) => Record("split", [this, splitSize], ("dim", dim));

    /// <summary>PyTorch's <c>tensor_split(Tensor self, int[] indices_or_sections, int dim=0) -&gt; Tensor[]</c></summary>
    public Value TensorSplit(Ints indicesOrSections, Value? dim = null) => Record("tensor_split", [this, indicesOrSections], ("dim", dim));

    /// <summary>PyTorch's <c>chunk(Tensor self, int chunks, int dim=0) -&gt; Tensor[]</c></summary>
    public Value Chunk(Value chunks, Value? dim = null) => Record("chunk", [this, chunks], ("dim", dim));

    /// <summary>PyTorch's <c>unbind(Tensor self, int dim=0) -&gt; Tensor[]</c></summary>
    public Value Unbind(Value? dim = null) => Record("unbind", [this], ("dim", dim));

    /// <summary>PyTorch's <c>narrow(Tensor self, int dim, int start, int length) -&gt; Tensor</c></summary>
    public Value Narrow(Value dim, Value start, Value length) => Record("narrow", [this, dim, start, length]);

    /// <summary>PyTorch's <c>select(Tensor self, int dim, int index) -&gt; Tensor</c></summary>
    public Value Select(Value dim, Value index) => Record("select", [this, dim, index]);

    /// <summary>PyTorch's <c>diagonal(Tensor self, int offset=0, int dim1=0, int dim2=1) -&gt; Tensor</c></summary>
    public Value Diagonal(Value? offset = null, Value? dim1 = null, Value? dim2 = null) => Record("diagonal", [this], ("offset", offset), ("dim1", dim1), ("dim2", dim2));

    /// <summary>PyTorch's <c>flip(Tensor self, int[] dims) -&gt; Tensor</c></summary>
    public Value Flip(params Ints dims) => Record("flip", [this, dims]);

    /// <summary>PyTorch's <c>roll(Tensor self, int[] shifts, int[]? dims=None) -&gt; Tensor</c></summary>
    public Value Roll(Ints shifts, Ints? dims = null) => Record("roll", [this, shifts], ("dims", dims));

    /// <summary>PyTorch's <c>pad(Tensor self, int[] pad, str mode='constant', float value=0.0) -&gt; Tensor</c></summary>
    public Value Pad(Ints pad, string? mode = null, Value? value = null) => Record("pad", [this, pad], ("mode", mode), ("value", value));

    /// <summary>PyTorch's <c>contiguous(Tensor self) -&gt; Tensor</c></summary>
    public Value Contiguous() => Record("contiguous", [this]);

    /// <summary>PyTorch's <c>clone(Tensor self) -&gt; Tensor</c></summary>
    public Value Clone() => Record("clone", [this]);

    /// <summary>PyTorch's <c>detach(Tensor self) -&gt; Tensor</c></summary>
    public Value Detach() => Record("detach", [this]);

    /// <summary>PyTorch's <c>size(Tensor self, int? dim=None) -&gt; Any</c></summary>
    public Value Size(Value? dim = null) => Record("size", [this], ("dim", dim));

    /// <summary>PyTorch's <c>numel(Tensor self) -&gt; int</c></summary>
    public Value NumEl() => Record("numel", [this]);

    /// <summary>PyTorch's <c>dim(Tensor self) -&gt; int</c></summary>
    public Value Dim() => Record("dim", [this]);

    /// <summary>Of a tensor's first dimension, a list, a tuple or a map. PyTorch's <c>len(Any self) -&gt; int</c></summary>
    public Value Len() => Record("len", [this]);
}

// Other shapes of the same elements.
public static partial class Op
{
    /// <summary>PyTorch's <c>cat(Tensor[] tensors, int dim=0) -&gt; Tensor</c></summary>
    public static Value Cat(IEnumerable<Value> tensors, Value? dim = null) => Value.Record("cat", [tensors], ("dim", dim));

    /// <summary>PyTorch's <c>stack(Tensor[] tensors, int dim=0) -&gt; Tensor</c></summary>
    public static Value Stack(IEnumerable<Value> tensors, Value? dim = null) => Value.Record("stack", [tensors], ("dim", dim));

    /// <summary>PyTorch's <c>hstack(Tensor[] tensors) -&gt; Tensor</c></summary>
    public static Value HStack(IEnumerable<Value> tensors) => Value.Record("hstack", [tensors]);

    /// <summary>PyTorch's <c>vstack(Tensor[] tensors) -&gt; Tensor</c></summary>
    public static Value VStack(IEnumerable<Value> tensors) => Value.Record("vstack", [tensors]);
}
