namespace Ndif.Protocol.Ops;

// New tensors. There is no empty(): memory that is not ours to show never reaches a user.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Creation = """
        zeros(int[] size, *, ScalarType? dtype=None, Device? device=None) -> Tensor
        ones(int[] size, *, ScalarType? dtype=None, Device? device=None) -> Tensor
        full(int[] size, Scalar fill_value, *, ScalarType? dtype=None, Device? device=None) -> Tensor
        # arange(5) counts to 5, arange(2, 5) from 2
        arange(Scalar start, Scalar? end=None, Scalar step=1, *, ScalarType? dtype=None, Device? device=None) -> Tensor
        linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None, Device? device=None) -> Tensor
        logspace(Scalar start, Scalar end, int steps, float base=10.0, *, ScalarType? dtype=None, Device? device=None) -> Tensor
        eye(int n, int? m=None, *, ScalarType? dtype=None, Device? device=None) -> Tensor
        # from numbers, nested lists of numbers, or a list of tensors of one shape
        tensor(Any data, *, ScalarType? dtype=None, Device? device=None) -> Tensor
        zeros_like(Tensor self, *, ScalarType? dtype=None) -> Tensor
        ones_like(Tensor self, *, ScalarType? dtype=None) -> Tensor
        full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None) -> Tensor
        new_zeros(Tensor self, int[] size, *, ScalarType? dtype=None) -> Tensor
        new_ones(Tensor self, int[] size, *, ScalarType? dtype=None) -> Tensor
        new_full(Tensor self, int[] size, Scalar fill_value, *, ScalarType? dtype=None) -> Tensor
        one_hot(Tensor self, int num_classes=-1) -> Tensor
        tril(Tensor self, int diagonal=0) -> Tensor
        triu(Tensor self, int diagonal=0) -> Tensor
        tril_indices(int row, int col, int offset=0) -> Tensor
        triu_indices(int row, int col, int offset=0) -> Tensor
        diag(Tensor self, int diagonal=0) -> Tensor
        diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor
        meshgrid(Tensor[] tensors, *, str indexing='ij') -> Tensor[]
        """;
}
