namespace Ndif;

// Order.
public partial class Value
{
    /// <summary>PyTorch's <c>topk(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True) -&gt; (Tensor values, Tensor indices)</c></summary>
    public Value TopK(Value k, Value? dim = null, bool largest = true, bool sorted = true) => Record("topk", [this, k], ("dim", dim), ("largest", largest ? null : false), ("sorted", sorted ? null : false));

    /// <summary>PyTorch's <c>sort(Tensor self, int dim=-1, bool descending=False, bool stable=False) -&gt; (Tensor values, Tensor indices)</c></summary>
    public Value Sort(Value? dim = null, bool descending = false, bool stable = false) => Record("sort", [this], ("dim", dim), ("descending", descending ? true : null), ("stable", stable ? true : null));

    /// <summary>PyTorch's <c>argsort(Tensor self, int dim=-1, bool descending=False, bool stable=False) -&gt; Tensor</c></summary>
    public Value ArgSort(Value? dim = null, bool descending = false, bool stable = false) => Record("argsort", [this], ("dim", dim), ("descending", descending ? true : null), ("stable", stable ? true : null));

    /// <summary>PyTorch's <c>bucketize(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False) -&gt; Tensor</c></summary>
    public Value Bucketize(Value boundaries, bool outInt32 = false, bool right = false) => Record("bucketize", [this, boundaries], ("out_int32", outInt32 ? true : null), ("right", right ? true : null));

    /// <summary>PyTorch's <c>bincount(Tensor self, Tensor? weights=None, int minlength=0) -&gt; Tensor</c></summary>
    public Value BinCount(Value? weights = null, Value? minlength = null) => Record("bincount", [this], ("weights", weights), ("minlength", minlength));

    /// <summary>The values; with return_inverse or return_counts a tuple. PyTorch's <c>unique(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False, int? dim=None) -&gt; Any</c></summary>
    public Value Unique(bool sorted = true, bool returnInverse = false, bool returnCounts = false, Value? dim = null) => Record("unique", [this], ("sorted", sorted ? null : false), ("return_inverse", returnInverse ? true : null), ("return_counts", returnCounts ? true : null), ("dim", dim));
}

// Order.
public static partial class Op
{
    /// <summary>PyTorch's <c>searchsorted(Tensor sorted_sequence, Operand self, *, bool out_int32=False, bool right=False) -&gt; Tensor</c></summary>
    public static Value SearchSorted(Value sortedSequence, Value self, bool outInt32 = false, bool right = false) => Value.Record("searchsorted", [sortedSequence, self], ("out_int32", outInt32 ? true : null), ("right", right ? true : null));
}
