namespace Ndif.Protocol.Ops;

// Some of the elements, by number or by mask.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Indexing = """
        # x[index], on tensors, tuples, lists and maps
        getitem(Any self, Index index) -> Any
        index_select(Tensor self, int dim, Tensor index) -> Tensor
        gather(Tensor self, int dim, Tensor index) -> Tensor
        take(Tensor self, Tensor index) -> Tensor
        take_along_dim(Tensor self, Tensor indices, int? dim=None) -> Tensor
        masked_select(Tensor self, Tensor mask) -> Tensor
        masked_fill(Tensor self, Tensor mask, Operand value) -> Tensor
        masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor
        where(Tensor condition, Operand self, Operand other) -> Tensor
        # indices [found, dimensions], or with as_tuple a tensor for each dimension
        nonzero(Tensor self, *, bool as_tuple=False) -> Any
        argwhere(Tensor self) -> Tensor
        index_put(Tensor self, Any indices, Operand values, bool accumulate=False) -> Tensor
        index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor
        index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor
        index_fill(Tensor self, int dim, Tensor index, Operand value) -> Tensor
        scatter(Tensor self, int dim, Tensor index, Operand src) -> Tensor
        scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor
        select_scatter(Tensor self, Tensor src, int dim, int index) -> Tensor
        slice_scatter(Tensor self, Tensor src, int dim=0, int? start=None, int? end=None, int step=1) -> Tensor
        """;
}
