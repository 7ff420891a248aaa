namespace Ndif.Protocol.Ops;

// Order, search and counting.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Sorting = """
        topk(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)
        sort(Tensor self, int dim=-1, bool descending=False, bool stable=False) -> (Tensor values, Tensor indices)
        argsort(Tensor self, int dim=-1, bool descending=False, bool stable=False) -> Tensor
        searchsorted(Tensor sorted_sequence, Operand self, *, bool out_int32=False, bool right=False) -> Tensor
        bucketize(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor
        bincount(Tensor self, Tensor? weights=None, int minlength=0) -> Tensor
        # the values; with return_inverse or return_counts a tuple
        unique(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False, int? dim=None) -> Any
        """;
}
