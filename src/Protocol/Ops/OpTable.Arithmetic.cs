namespace Ndif.Protocol.Ops;

// Element by element. Numbers stay numbers; a number beside a tensor takes part as PyTorch's scalars do.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Arithmetic = """
        add(Operand self, Operand other, *, Scalar alpha=1) -> Tensor
        sub(Operand self, Operand other, *, Scalar alpha=1) -> Tensor
        mul(Operand self, Operand other) -> Tensor
        # of integers too a true division; rounding_mode is 'trunc' or 'floor'
        div(Operand self, Operand other, *, str? rounding_mode=None) -> Tensor
        floor_divide(Operand self, Operand other) -> Tensor
        remainder(Operand self, Operand other) -> Tensor
        fmod(Operand self, Operand other) -> Tensor
        pow(Operand self, Operand exponent) -> Tensor
        neg(Operand self) -> Tensor
        abs(Operand self) -> Tensor
        sign(Operand self) -> Tensor
        square(Operand self) -> Tensor
        sqrt(Operand self) -> Tensor
        rsqrt(Operand self) -> Tensor
        reciprocal(Operand self) -> Tensor
        exp(Operand self) -> Tensor
        exp2(Operand self) -> Tensor
        expm1(Operand self) -> Tensor
        log(Operand self) -> Tensor
        log2(Operand self) -> Tensor
        log10(Operand self) -> Tensor
        log1p(Operand self) -> Tensor
        sin(Operand self) -> Tensor
        cos(Operand self) -> Tensor
        tan(Operand self) -> Tensor
        asin(Operand self) -> Tensor
        acos(Operand self) -> Tensor
        atan(Operand self) -> Tensor
        sinh(Operand self) -> Tensor
        cosh(Operand self) -> Tensor
        asinh(Operand self) -> Tensor
        acosh(Operand self) -> Tensor
        atanh(Operand self) -> Tensor
        atan2(Tensor self, Tensor other) -> Tensor
        hypot(Tensor self, Tensor other) -> Tensor
        erf(Tensor self) -> Tensor
        erfc(Tensor self) -> Tensor
        erfinv(Tensor self) -> Tensor
        lgamma(Tensor self) -> Tensor
        digamma(Tensor self) -> Tensor
        logit(Tensor self, float? eps=None) -> Tensor
        xlogy(Tensor self, Tensor other) -> Tensor
        round(Operand self, *, int decimals=0) -> Tensor
        floor(Operand self) -> Tensor
        ceil(Operand self) -> Tensor
        trunc(Operand self) -> Tensor
        frac(Tensor self) -> Tensor
        clamp(Operand self, Operand? min=None, Operand? max=None) -> Tensor
        maximum(Operand self, Operand other) -> Tensor
        minimum(Operand self, Operand other) -> Tensor
        lerp(Tensor self, Tensor end, Operand weight) -> Tensor
        addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor
        addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor
        logaddexp(Tensor self, Tensor other) -> Tensor
        nan_to_num(Tensor self, float nan=0.0, float? posinf=None, float? neginf=None) -> Tensor
        """;
}
