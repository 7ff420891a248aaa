namespace Ndif;

// From many elements to few.
public partial class Value
{
    /// <summary>PyTorch's <c>sum(Tensor self, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value Sum(Ints? dim = null, bool keepdim = false, DType? dtype = null) => Record("sum", [this], ("dim", dim), ("keepdim", keepdim ? true : null), ("dtype", dtype));

    /// <summary>PyTorch's <c>nansum(Tensor self, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value NanSum(Ints? dim = null, bool keepdim = false, DType? dtype = null) => Record("nansum", [this], ("dim", dim), ("keepdim", keepdim ? true : null), ("dtype", dtype));

    /// <summary>PyTorch's <c>mean(Tensor self, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value Mean(Ints? dim = null, bool keepdim = false, DType? dtype = null) => Record("mean", [this], ("dim", dim), ("keepdim", keepdim ? true : null), ("dtype", dtype));

    /// <summary>PyTorch's <c>nanmean(Tensor self, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value NanMean(Ints? dim = null, bool keepdim = false, DType? dtype = null) => Record("nanmean", [this], ("dim", dim), ("keepdim", keepdim ? true : null), ("dtype", dtype));

    /// <summary>PyTorch's <c>var(Tensor self, int[]? dim=None, *, Scalar correction=1, bool keepdim=False) -&gt; Tensor</c></summary>
    public Value Var(Ints? dim = null, Value? correction = null, bool keepdim = false) => Record("var", [this], ("dim", dim), ("correction", correction), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>std(Tensor self, int[]? dim=None, *, Scalar correction=1, bool keepdim=False) -&gt; Tensor</c></summary>
    public Value Std(Ints? dim = null, Value? correction = null, bool keepdim = false) => Record("std", [this], ("dim", dim), ("correction", correction), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>norm(Tensor self, Scalar p=2, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value Norm(Value? p = null, Ints? dim = null, bool keepdim = false, DType? dtype = null) => Record("norm", [this], ("p", p), ("dim", dim), ("keepdim", keepdim ? true : null), ("dtype", dtype));

    /// <summary>PyTorch's <c>prod(Tensor self, int? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value Prod(Value? dim = null, bool keepdim = false, DType? dtype = null) => Record("prod", [this], ("dim", dim), ("keepdim", keepdim ? true : null), ("dtype", dtype));

    /// <summary>PyTorch's <c>amax(Tensor self, int[] dim=[], bool keepdim=False) -&gt; Tensor</c></summary>
    public Value Amax(Ints? dim = null, bool keepdim = false) => Record("amax", [this], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>amin(Tensor self, int[] dim=[], bool keepdim=False) -&gt; Tensor</c></summary>
    public Value Amin(Ints? dim = null, bool keepdim = false) => Record("amin", [this], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>Without dim the largest element; with dim (values, indices). PyTorch's <c>max(Tensor self, int? dim=None, bool keepdim=False) -&gt; Any</c></summary>
    public Value Max(Value? dim = null, bool keepdim = false) => Record("max", [this], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>min(Tensor self, int? dim=None, bool keepdim=False) -&gt; Any</c></summary>
    public Value Min(Value? dim = null, bool keepdim = false) => Record("min", [this], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>argmax(Tensor self, int? dim=None, bool keepdim=False) -&gt; Tensor</c></summary>
    public Value ArgMax(Value? dim = null, bool keepdim = false) => Record("argmax", [this], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>argmin(Tensor self, int? dim=None, bool keepdim=False) -&gt; Tensor</c></summary>
    public Value ArgMin(Value? dim = null, bool keepdim = false) => Record("argmin", [this], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>Without dim the median; with dim (values, indices). PyTorch's <c>median(Tensor self, int? dim=None, bool keepdim=False) -&gt; Any</c></summary>
    public Value Median(Value? dim = null, bool keepdim = false) => Record("median", [this], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>mode(Tensor self, int dim=-1, bool keepdim=False) -&gt; (Tensor values, Tensor indices)</c></summary>
    public Value Mode(Value? dim = null, bool keepdim = false) => Record("mode", [this], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>kthvalue(Tensor self, int k, int dim=-1, bool keepdim=False) -&gt; (Tensor values, Tensor indices)</c></summary>
    public Value KthValue(Value k, Value? dim = null, bool keepdim = false) => Record("kthvalue", [this, k], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>quantile(Tensor self, Operand q, int? dim=None, bool keepdim=False) -&gt; Tensor</c></summary>
    public Value Quantile(Value q, Value? dim = null, bool keepdim = false) => Record("quantile", [this, q], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>nanquantile(Tensor self, Operand q, int? dim=None, bool keepdim=False) -&gt; Tensor</c></summary>
    public Value NanQuantile(Value q, Value? dim = null, bool keepdim = false) => Record("nanquantile", [this, q], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>all(Tensor self, int? dim=None, bool keepdim=False) -&gt; Tensor</c></summary>
    public Value All(Value? dim = null, bool keepdim = false) => Record("all", [this], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>any(Tensor self, int? dim=None, bool keepdim=False) -&gt; Tensor</c></summary>
    public Value Any(Value? dim = null, bool keepdim = false) => Record("any", [this], ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>count_nonzero(Tensor self, int[]? dim=None) -&gt; Tensor</c></summary>
    public Value CountNonZero(Ints? dim = null) => Record("count_nonzero", [this], ("dim", dim));

    /// <summary>PyTorch's <c>logsumexp(Tensor self, int[] dim, bool keepdim=False) -&gt; Tensor</c></summary>
    public Value LogSumExp(Ints dim, bool keepdim = false) => Record("logsumexp", [this, dim], ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value CumSum(Value dim, DType? dtype = null) => Record("cumsum", [this, dim], ("dtype", dtype));

    /// <summary>PyTorch's <c>cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value CumProd(Value dim, DType? dtype = null) => Record("cumprod", [this, dim], ("dtype", dtype));

    /// <summary>PyTorch's <c>cummax(Tensor self, int dim) -&gt; (Tensor values, Tensor indices)</c></summary>
    public Value CumMax(Value dim) => Record("cummax", [this, dim]);

    /// <summary>PyTorch's <c>cummin(Tensor self, int dim) -&gt; (Tensor values, Tensor indices)</c></summary>
    public Value CumMin(Value dim) => Record("cummin", [this, dim]);

    /// <summary>PyTorch's <c>diff(Tensor self, int n=1, int dim=-1) -&gt; Tensor</c></summary>
    public Value Diff(Value? n = null, Value? dim = null) => Record("diff", [this], ("n", n), ("dim", dim));

    /// <summary>PyTorch's <c>dist(Tensor self, Tensor other, Scalar p=2) -&gt; Tensor</c></summary>
    public Value Dist(Value other, Value? p = null) => Record("dist", [this, other], ("p", p));

    /// <summary>PyTorch's <c>cov(Tensor self, *, int correction=1) -&gt; Tensor</c></summary>
    public Value Cov(Value? correction = null) => Record("cov", [this], ("correction", correction));

    /// <summary>PyTorch's <c>corrcoef(Tensor self) -&gt; Tensor</c></summary>
    public Value CorrCoef() => Record("corrcoef", [this]);
}
