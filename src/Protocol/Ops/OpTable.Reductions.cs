namespace Ndif.Protocol.Ops;

// Fewer dimensions, or running totals. dim=None reduces all.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Reductions = """
        sum(Tensor self, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
        nansum(Tensor self, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
        mean(Tensor self, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
        nanmean(Tensor self, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
        var(Tensor self, int[]? dim=None, *, Scalar correction=1, bool keepdim=False) -> Tensor
        std(Tensor self, int[]? dim=None, *, Scalar correction=1, bool keepdim=False) -> Tensor
        norm(Tensor self, Scalar p=2, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
        prod(Tensor self, int? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
        amax(Tensor self, int[] dim=[], bool keepdim=False) -> Tensor
        amin(Tensor self, int[] dim=[], bool keepdim=False) -> Tensor
        # without dim the largest element; with dim (values, indices)
        max(Tensor self, int? dim=None, bool keepdim=False) -> Any
        min(Tensor self, int? dim=None, bool keepdim=False) -> Any
        argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor
        argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor
        # without dim the median; with dim (values, indices)
        median(Tensor self, int? dim=None, bool keepdim=False) -> Any
        mode(Tensor self, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)
        kthvalue(Tensor self, int k, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)
        quantile(Tensor self, Operand q, int? dim=None, bool keepdim=False) -> Tensor
        nanquantile(Tensor self, Operand q, int? dim=None, bool keepdim=False) -> Tensor
        all(Tensor self, int? dim=None, bool keepdim=False) -> Tensor
        any(Tensor self, int? dim=None, bool keepdim=False) -> Tensor
        count_nonzero(Tensor self, int[]? dim=None) -> Tensor
        logsumexp(Tensor self, int[] dim, bool keepdim=False) -> Tensor
        cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor
        cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor
        cummax(Tensor self, int dim) -> (Tensor values, Tensor indices)
        cummin(Tensor self, int dim) -> (Tensor values, Tensor indices)
        diff(Tensor self, int n=1, int dim=-1) -> Tensor
        dist(Tensor self, Tensor other, Scalar p=2) -> Tensor
        cov(Tensor self, *, int correction=1) -> Tensor
        corrcoef(Tensor self) -> Tensor
        """;
}
