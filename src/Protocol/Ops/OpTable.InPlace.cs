namespace Ndif.Protocol.Ops;

// Changes of a tensor where it lies; the result is the first argument itself.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string InPlace = """
        add_(Tensor self, Operand other, *, Scalar alpha=1) -> Tensor
        sub_(Tensor self, Operand other, *, Scalar alpha=1) -> Tensor
        mul_(Tensor self, Operand other) -> Tensor
        div_(Tensor self, Operand other, *, str? rounding_mode=None) -> Tensor
        floor_divide_(Tensor self, Operand other) -> Tensor
        remainder_(Tensor self, Operand other) -> Tensor
        pow_(Tensor self, Operand exponent) -> Tensor
        neg_(Tensor self) -> Tensor
        abs_(Tensor self) -> Tensor
        exp_(Tensor self) -> Tensor
        log_(Tensor self) -> Tensor
        sqrt_(Tensor self) -> Tensor
        round_(Tensor self, *, int decimals=0) -> Tensor
        clamp_(Tensor self, Operand? min=None, Operand? max=None) -> Tensor
        addcmul_(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor
        addcdiv_(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor
        lerp_(Tensor self, Tensor end, Operand weight) -> Tensor
        relu_(Tensor self) -> Tensor
        sigmoid_(Tensor self) -> Tensor
        tanh_(Tensor self) -> Tensor
        copy_(Tensor self, Operand src) -> Tensor
        fill_(Tensor self, Operand value) -> Tensor
        zero_(Tensor self) -> Tensor
        tril_(Tensor self, int diagonal=0) -> Tensor
        triu_(Tensor self, int diagonal=0) -> Tensor
        masked_fill_(Tensor self, Tensor mask, Operand value) -> Tensor
        masked_scatter_(Tensor self, Tensor mask, Tensor source) -> Tensor
        index_add_(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor
        index_copy_(Tensor self, int dim, Tensor index, Tensor source) -> Tensor
        index_fill_(Tensor self, int dim, Tensor index, Operand value) -> Tensor
        index_put_(Tensor self, Any indices, Operand values, bool accumulate=False) -> Tensor
        scatter_(Tensor self, int dim, Tensor index, Operand src) -> Tensor
        scatter_add_(Tensor self, int dim, Tensor index, Tensor src) -> Tensor
        # x[index] = value; on a list or a map too
        setitem_(Any self, Index index, Any value) -> Any
        requires_grad_(Tensor self, bool requires_grad=True) -> Tensor
        """;
}
