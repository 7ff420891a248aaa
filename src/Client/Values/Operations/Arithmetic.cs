namespace Ndif;

// Arithmetic, element by element.
public partial class Value
{
    /// <summary>PyTorch's <c>add(Operand self, Operand other, *, Scalar alpha=1) -&gt; Tensor</c></summary>
    public Value Add(Value other, Value? alpha = null) => Record("add", [this, other], ("alpha", alpha));

    /// <summary>PyTorch's <c>sub(Operand self, Operand other, *, Scalar alpha=1) -&gt; Tensor</c></summary>
    public Value Sub(Value other, Value? alpha = null) => Record("sub", [this, other], ("alpha", alpha));

    /// <summary>PyTorch's <c>mul(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Mul(Value other) => Record("mul", [this, other]);

    /// <summary>Of integers too a true division; rounding_mode is 'trunc' or 'floor'. PyTorch's <c>div(Operand self, Operand other, *, str? rounding_mode=None) -&gt; Tensor</c></summary>
    public Value Div(Value other, string? roundingMode = null) => Record("div", [this, other], ("rounding_mode", roundingMode));

    /// <summary>PyTorch's <c>floor_divide(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value FloorDivide(Value other) => Record("floor_divide", [this, other]);

    /// <summary>PyTorch's <c>remainder(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Remainder(Value other) => Record("remainder", [this, other]);

    /// <summary>PyTorch's <c>fmod(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Fmod(Value other) => Record("fmod", [this, other]);

    /// <summary>PyTorch's <c>pow(Operand self, Operand exponent) -&gt; Tensor</c></summary>
    public Value Pow(Value exponent) => Record("pow", [this, exponent]);

    /// <summary>PyTorch's <c>neg(Operand self) -&gt; Tensor</c></summary>
    public Value Neg() => Record("neg", [this]);

    /// <summary>PyTorch's <c>abs(Operand self) -&gt; Tensor</c></summary>
    public Value Abs() => Record("abs", [this]);

    /// <summary>PyTorch's <c>sign(Operand self) -&gt; Tensor</c></summary>
    public Value Sign() => Record("sign", [this]);

    /// <summary>PyTorch's <c>square(Operand self) -&gt; Tensor</c></summary>
    public Value Square() => Record("square", [this]);

    /// <summary>PyTorch's <c>sqrt(Operand self) -&gt; Tensor</c></summary>
    public Value Sqrt() => Record("sqrt", [this]);

    /// <summary>PyTorch's <c>rsqrt(Operand self) -&gt; Tensor</c></summary>
    public Value Rsqrt() => Record("rsqrt", [this]);

    /// <summary>PyTorch's <c>reciprocal(Operand self) -&gt; Tensor</c></summary>
    public Value Reciprocal() => Record("reciprocal", [this]);

    /// <summary>PyTorch's <c>exp(Operand self) -&gt; Tensor</c></summary>
    public Value Exp() => Record("exp", [this]);

    /// <summary>PyTorch's <c>exp2(Operand self) -&gt; Tensor</c></summary>
    public Value Exp2() => Record("exp2", [this]);

    /// <summary>PyTorch's <c>expm1(Operand self) -&gt; Tensor</c></summary>
    public Value Expm1() => Record("expm1", [this]);

    /// <summary>PyTorch's <c>log(Operand self) -&gt; Tensor</c></summary>
    public Value Log() => Record("log", [this]);

    /// <summary>PyTorch's <c>log2(Operand self) -&gt; Tensor</c></summary>
    public Value Log2() => Record("log2", [this]);

    /// <summary>PyTorch's <c>log10(Operand self) -&gt; Tensor</c></summary>
    public Value Log10() => Record("log10", [this]);

    /// <summary>PyTorch's <c>log1p(Operand self) -&gt; Tensor</c></summary>
    public Value Log1p() => Record("log1p", [this]);

    /// <summary>PyTorch's <c>sin(Operand self) -&gt; Tensor</c></summary>
    public Value Sin() => Record("sin", [this]);

    /// <summary>PyTorch's <c>cos(Operand self) -&gt; Tensor</c></summary>
    public Value Cos() => Record("cos", [this]);

    /// <summary>PyTorch's <c>tan(Operand self) -&gt; Tensor</c></summary>
    public Value Tan() => Record("tan", [this]);

    /// <summary>PyTorch's <c>asin(Operand self) -&gt; Tensor</c></summary>
    public Value Asin() => Record("asin", [this]);

    /// <summary>PyTorch's <c>acos(Operand self) -&gt; Tensor</c></summary>
    public Value Acos() => Record("acos", [this]);

    /// <summary>PyTorch's <c>atan(Operand self) -&gt; Tensor</c></summary>
    public Value Atan() => Record("atan", [this]);

    /// <summary>PyTorch's <c>sinh(Operand self) -&gt; Tensor</c></summary>
    public Value Sinh() => Record("sinh", [this]);

    /// <summary>PyTorch's <c>cosh(Operand self) -&gt; Tensor</c></summary>
    public Value Cosh() => Record("cosh", [this]);

    /// <summary>PyTorch's <c>asinh(Operand self) -&gt; Tensor</c></summary>
    public Value Asinh() => Record("asinh", [this]);

    /// <summary>PyTorch's <c>acosh(Operand self) -&gt; Tensor</c></summary>
    public Value Acosh() => Record("acosh", [this]);

    /// <summary>PyTorch's <c>atanh(Operand self) -&gt; Tensor</c></summary>
    public Value Atanh() => Record("atanh", [this]);

    /// <summary>PyTorch's <c>atan2(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value Atan2(Value other) => Record("atan2", [this, other]);

    /// <summary>PyTorch's <c>hypot(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value Hypot(Value other) => Record("hypot", [this, other]);

    /// <summary>PyTorch's <c>erf(Tensor self) -&gt; Tensor</c></summary>
    public Value Erf() => Record("erf", [this]);

    /// <summary>PyTorch's <c>erfc(Tensor self) -&gt; Tensor</c></summary>
    public Value Erfc() => Record("erfc", [this]);

    /// <summary>PyTorch's <c>erfinv(Tensor self) -&gt; Tensor</c></summary>
    public Value ErfInv() => Record("erfinv", [this]);

    /// <summary>PyTorch's <c>lgamma(Tensor self) -&gt; Tensor</c></summary>
    public Value LGamma() => Record("lgamma", [this]);

    /// <summary>PyTorch's <c>digamma(Tensor self) -&gt; Tensor</c></summary>
    public Value Digamma() => Record("digamma", [this]);

    /// <summary>PyTorch's <c>logit(Tensor self, float? eps=None) -&gt; Tensor</c></summary>
    public Value Logit(Value? eps = null) => Record("logit", [this], ("eps", eps));

    /// <summary>PyTorch's <c>xlogy(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value XLogY(Value other) => Record("xlogy", [this, other]);

    /// <summary>PyTorch's <c>round(Operand self, *, int decimals=0) -&gt; Tensor</c></summary>
    public Value Round(Value? decimals = null) => Record("round", [this], ("decimals", decimals));

    /// <summary>PyTorch's <c>floor(Operand self) -&gt; Tensor</c></summary>
    public Value Floor() => Record("floor", [this]);

    /// <summary>PyTorch's <c>ceil(Operand self) -&gt; Tensor</c></summary>
    public Value Ceil() => Record("ceil", [this]);

    /// <summary>PyTorch's <c>trunc(Operand self) -&gt; Tensor</c></summary>
    public Value Trunc() => Record("trunc", [this]);

    /// <summary>PyTorch's <c>frac(Tensor self) -&gt; Tensor</c></summary>
    public Value Frac() => Record("frac", [this]);

    /// <summary>PyTorch's <c>clamp(Operand self, Operand? min=None, Operand? max=None) -&gt; Tensor</c></summary>
    public Value Clamp(Value? min = null, Value? max = null) => Record("clamp", [this], ("min", min), ("max", max));

    /// <summary>PyTorch's <c>maximum(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Maximum(Value other) => Record("maximum", [this, other]);

    /// <summary>PyTorch's <c>minimum(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Minimum(Value other) => Record("minimum", [this, other]);

    /// <summary>PyTorch's <c>lerp(Tensor self, Tensor end, Operand weight) -&gt; Tensor</c></summary>
    public Value Lerp(Value end, Value weight) => Record("lerp", [this, end, weight]);

    /// <summary>PyTorch's <c>addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -&gt; Tensor</c></summary>
    public Value AddCMul(Value tensor1, Value tensor2, Value? value = null) => Record("addcmul", [this, tensor1, tensor2], ("value", value));

    /// <summary>PyTorch's <c>addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -&gt; Tensor</c></summary>
    public Value AddCDiv(Value tensor1, Value tensor2, Value? value = null) => Record("addcdiv", [this, tensor1, tensor2], ("value", value));

    /// <summary>PyTorch's <c>logaddexp(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value LogAddExp(Value other) => Record("logaddexp", [this, other]);

    /// <summary>PyTorch's <c>nan_to_num(Tensor self, float nan=0.0, float? posinf=None, float? neginf=None) -&gt; Tensor</c></summary>
    public Value NanToNum(Value? nan = null, Value? posinf = null, Value? neginf = null) => Record("nan_to_num", [this], ("nan", nan), ("posinf", posinf), ("neginf", neginf));
}
