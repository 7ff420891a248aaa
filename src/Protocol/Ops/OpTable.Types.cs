namespace Ndif.Protocol.Ops;

// Element types, devices, and plain numbers out of tensors.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Types = """
        to(Tensor self, ScalarType? dtype=None, Device? device=None) -> Tensor
        type_as(Tensor self, Tensor other) -> Tensor
        float(Tensor self) -> Tensor
        double(Tensor self) -> Tensor
        half(Tensor self) -> Tensor
        bfloat16(Tensor self) -> Tensor
        long(Tensor self) -> Tensor
        int(Tensor self) -> Tensor
        bool(Tensor self) -> Tensor
        cpu(Tensor self) -> Tensor
        # the one element, as a number
        item(Operand self) -> Any
        # nested lists of numbers
        tolist(Tensor self) -> Any
        """;
}
