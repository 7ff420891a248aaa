namespace Ndif.Protocol.Ops;

// Comparison and logic.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Comparison = """
        eq(Operand self, Operand other) -> Tensor
        ne(Operand self, Operand other) -> Tensor
        lt(Operand self, Operand other) -> Tensor
        le(Operand self, Operand other) -> Tensor
        gt(Operand self, Operand other) -> Tensor
        ge(Operand self, Operand other) -> Tensor
        logical_and(Operand self, Operand other) -> Tensor
        logical_or(Operand self, Operand other) -> Tensor
        logical_xor(Operand self, Operand other) -> Tensor
        logical_not(Operand self) -> Tensor
        bitwise_and(Operand self, Operand other) -> Tensor
        bitwise_or(Operand self, Operand other) -> Tensor
        bitwise_xor(Operand self, Operand other) -> Tensor
        bitwise_not(Operand self) -> Tensor
        isnan(Tensor self) -> Tensor
        isinf(Tensor self) -> Tensor
        isfinite(Tensor self) -> Tensor
        isclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> Tensor
        allclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> bool
        # same shape and same elements
        equal(Tensor self, Tensor other) -> bool
        isin(Tensor elements, Tensor test_elements, *, bool invert=False) -> Tensor
        signbit(Tensor self) -> Tensor
        """;
}
