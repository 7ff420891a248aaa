namespace Ndif;

// Operations in place: they change the tensor itself, and with it the model's value where it is one.
public partial class Value
{
    /// <summary>PyTorch's <c>add_(Tensor self, Operand other, *, Scalar alpha=1) -&gt; Tensor</c></summary>
    public Value Add_(Value other, Value? alpha = null) => Record("add_", [this, other], ("alpha", alpha));

    /// <summary>PyTorch's <c>sub_(Tensor self, Operand other, *, Scalar alpha=1) -&gt; Tensor</c></summary>
    public Value Sub_(Value other, Value? alpha = null) => Record("sub_", [this, other], ("alpha", alpha));

    /// <summary>PyTorch's <c>mul_(Tensor self, Operand other) -&gt; Tensor</c></summary>
    public Value Mul_(Value other) => Record("mul_", [this, other]);

    /// <summary>PyTorch's <c>div_(Tensor self, Operand other, *, str? rounding_mode=None) -&gt; Tensor</c></summary>
    public Value Div_(Value other, string? roundingMode = null) => Record("div_", [this, other], ("rounding_mode", roundingMode));

    /// <summary>PyTorch's <c>floor_divide_(Tensor self, Operand other) -&gt; Tensor</c></summary>
    public Value FloorDivide_(Value other) => Record("floor_divide_", [this, other]);

    /// <summary>PyTorch's <c>remainder_(Tensor self, Operand other) -&gt; Tensor</c></summary>
    public Value Remainder_(Value other) => Record("remainder_", [this, other]);

    /// <summary>PyTorch's <c>pow_(Tensor self, Operand exponent) -&gt; Tensor</c></summary>
    public Value Pow_(Value exponent) => Record("pow_", [this, exponent]);

    /// <summary>PyTorch's <c>neg_(Tensor self) -&gt; Tensor</c></summary>
    public Value Neg_() => Record("neg_", [this]);

    /// <summary>PyTorch's <c>abs_(Tensor self) -&gt; Tensor</c></summary>
    public Value Abs_() => Record("abs_", [this]);

    /// <summary>PyTorch's <c>exp_(Tensor self) -&gt; Tensor</c></summary>
    public Value Exp_() => Record("exp_", [this]);

    /// <summary>PyTorch's <c>log_(Tensor self) -&gt; Tensor</c></summary>
    public Value Log_() => Record("log_", [this]);

    /// <summary>PyTorch's <c>sqrt_(Tensor self) -&gt; Tensor</c></summary>
    public Value Sqrt_() => Record("sqrt_", [this]);

    /// <summary>PyTorch's <c>round_(Tensor self, *, int decimals=0) -&gt; Tensor</c></summary>
    public Value Round_(Value? decimals = null) => Record("round_", [this], ("decimals", decimals));

    /// <summary>PyTorch's <c>clamp_(Tensor self, Operand? min=None, Operand? max=None) -&gt; Tensor</c></summary>
    public Value Clamp_(Value? min = null, Value? max = null) => Record("clamp_", [this], ("min", min), ("max", max));

    /// <summary>PyTorch's <c>addcmul_(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -&gt; Tensor</c></summary>
    public Value AddCMul_(Value tensor1, Value tensor2, Value? value = null) => Record("addcmul_", [this, tensor1, tensor2], ("value", value));

    /// <summary>PyTorch's <c>addcdiv_(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -&gt; Tensor</c></summary>
    public Value AddCDiv_(Value tensor1, Value tensor2, Value? value = null) => Record("addcdiv_", [this, tensor1, tensor2], ("value", value));

    /// <summary>PyTorch's <c>lerp_(Tensor self, Tensor end, Operand weight) -&gt; Tensor</c></summary>
    public Value Lerp_(Value end, Value weight) => Record("lerp_", [this, end, weight]);

    /// <summary>PyTorch's <c>relu_(Tensor self) -&gt; Tensor</c></summary>
    public Value Relu_() => Record("relu_", [this]);

    /// <summary>PyTorch's <c>sigmoid_(Tensor self) -&gt; Tensor</c></summary>
    public Value Sigmoid_() => Record("sigmoid_", [this]);

    /// <summary>PyTorch's <c>tanh_(Tensor self) -&gt; Tensor</c></summary>
    public Value Tanh_() => Record("tanh_", [this]);

    /// <summary>PyTorch's <c>copy_(Tensor self, Operand src) -&gt; Tensor</c></summary>
    public Value Copy_(Value src) => Record("copy_", [this, src]);

    /// <summary>PyTorch's <c>fill_(Tensor self, Operand value) -&gt; Tensor</c></summary>
    public Value Fill_(Value value) => Record("fill_", [this, value]);

    /// <summary>PyTorch's <c>zero_(Tensor self) -&gt; Tensor</c></summary>
    public Value Zero_() => Record("zero_", [this]);

    /// <summary>PyTorch's <c>tril_(Tensor self, int diagonal=0) -&gt; Tensor</c></summary>
    public Value Tril_(Value? diagonal = null) => Record("tril_", [this], ("diagonal", diagonal));

    /// <summary>PyTorch's <c>triu_(Tensor self, int diagonal=0) -&gt; Tensor</c></summary>
    public Value Triu_(Value? diagonal = null) => Record("triu_", [this], ("diagonal", diagonal));

    /// <summary>PyTorch's <c>masked_fill_(Tensor self, Tensor mask, Operand value) -&gt; Tensor</c></summary>
    public Value MaskedFill_(Value mask, Value value) => Record("masked_fill_", [this, mask, value]);

    /// <summary>PyTorch's <c>masked_scatter_(Tensor self, Tensor mask, Tensor source) -&gt; Tensor</c></summary>
    public Value MaskedScatter_(Value mask, Value source) => Record("masked_scatter_", [this, mask, source]);

    /// <summary>PyTorch's <c>index_add_(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -&gt; Tensor</c></summary>
    public Value IndexAdd_(Value dim, Value index, Value source, Value? alpha = null) => Record("index_add_", [this, dim, index, source], ("alpha", alpha));

    /// <summary>PyTorch's <c>index_copy_(Tensor self, int dim, Tensor index, Tensor source) -&gt; Tensor</c></summary>
    public Value IndexCopy_(Value dim, Value index, Value source) => Record("index_copy_", [this, dim, index, source]);

    /// <summary>PyTorch's <c>index_fill_(Tensor self, int dim, Tensor index, Operand value) -&gt; Tensor</c></summary>
    public Value IndexFill_(Value dim, Value index, Value value) => Record("index_fill_", [this, dim, index, value]);

    /// <summary>PyTorch's <c>index_put_(Tensor self, Any indices, Operand values, bool accumulate=False) -&gt; Tensor</c></summary>
    public Value IndexPut_(Value indices, Value values, bool accumulate = false) => Record("index_put_", [this, indices, values], ("accumulate", accumulate ? true : null));

    /// <summary>PyTorch's <c>scatter_(Tensor self, int dim, Tensor index, Operand src) -&gt; Tensor</c></summary>
    public Value Scatter_(Value dim, Value index, Value src) => Record("scatter_", [this, dim, index, src]);

    /// <summary>PyTorch's <c>scatter_add_(Tensor self, int dim, Tensor index, Tensor src) -&gt; Tensor</c></summary>
    public Value ScatterAdd_(Value dim, Value index, Value src) => Record("scatter_add_", [this, dim, index, src]);
}
