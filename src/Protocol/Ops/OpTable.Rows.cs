namespace Ndif.Protocol;

// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Creation = """
        zeros(int[] size, *, ScalarType? dtype=None, Device? device=None) -> Tensor
        zeros_like(Tensor self, *, ScalarType? dtype=None) -> Tensor
        """;

    private const string Arithmetic = """
        add(Operand self, Operand other, *, Scalar alpha=1) -> Tensor
        sub(Operand self, Operand other, *, Scalar alpha=1) -> Tensor
        mul(Operand self, Operand other) -> Tensor
        div(Operand self, Operand other, *, str? rounding_mode=None) -> Tensor
        neg(Operand self) -> Tensor
        """;

    private const string Comparison = """
        gt(Operand self, Operand other) -> Tensor
        """;

    private const string Reductions = """
        sum(Tensor self, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
        argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor
        """;

    private const string Shapes = """
        clone(Tensor self) -> Tensor
        # the sizes, as a list of numbers
        shape(Tensor self) -> Any
        """;

    private const string Indexing = """
        # x[index], on tensors, tuples, lists and maps
        getitem(Any self, Index index) -> Any
        # x[index] = value
        setitem_(Any self, Index index, Operand value) -> Any
        """;

    private const string LinearAlgebra = """
        matmul(Tensor self, Tensor other) -> Tensor
        """;

    private const string Networks = """
        softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor
        topk(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)
        """;

    private const string Types = """
        to(Tensor self, ScalarType? dtype=None, Device? device=None) -> Tensor
        """;

    private const string Sampling = """
        randn_like(Tensor self, *, int? seed=None) -> Tensor
        """;
}
