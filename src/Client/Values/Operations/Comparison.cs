namespace Ndif;

// Comparison and logic.
public partial class Value
{
    /// <summary>PyTorch's <c>eq(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Eq(Value other) => Record("eq", [this, other]);

    /// <summary>PyTorch's <c>ne(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Ne(Value other) => Record("ne", [this, other]);

    /// <summary>PyTorch's <c>lt(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Lt(Value other) => Record("lt", [this, other]);

    /// <summary>PyTorch's <c>le(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Le(Value other) => Record("le", [this, other]);

    /// <summary>PyTorch's <c>gt(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Gt(Value other) => Record("gt", [this, other]);

    /// <summary>PyTorch's <c>ge(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value Ge(Value other) => Record("ge", [this, other]);

    /// <summary>PyTorch's <c>logical_and(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value LogicalAnd(Value other) => Record("logical_and", [this, other]);

    /// <summary>PyTorch's <c>logical_or(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value LogicalOr(Value other) => Record("logical_or", [this, other]);

    /// <summary>PyTorch's <c>logical_xor(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value LogicalXor(Value other) => Record("logical_xor", [this, other]);

    /// <summary>PyTorch's <c>logical_not(Operand self) -&gt; Tensor</c></summary>
    public Value LogicalNot() => Record("logical_not", [this]);

    /// <summary>PyTorch's <c>bitwise_and(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value BitwiseAnd(Value other) => Record("bitwise_and", [this, other]);

    /// <summary>PyTorch's <c>bitwise_or(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value BitwiseOr(Value other) => Record("bitwise_or", [this, other]);

    /// <summary>PyTorch's <c>bitwise_xor(Operand self, Operand other) -&gt; Tensor</c></summary>
    public Value BitwiseXor(Value other) => Record("bitwise_xor", [this, other]);

    /// <summary>PyTorch's <c>bitwise_not(Operand self) -&gt; Tensor</c></summary>
    public Value BitwiseNot() => Record("bitwise_not", [this]);

    /// <summary>PyTorch's <c>isnan(Tensor self) -&gt; Tensor</c></summary>
    public Value IsNaN() => Record("isnan", [this]);

    /// <summary>PyTorch's <c>isinf(Tensor self) -&gt; Tensor</c></summary>
    public Value IsInf() => Record("isinf", [this]);

    /// <summary>PyTorch's <c>isfinite(Tensor self) -&gt; Tensor</c></summary>
    public Value IsFinite() => Record("isfinite", [this]);

    /// <summary>PyTorch's <c>isclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -&gt; Tensor</c></summary>
    public Value IsClose(Value other, Value? rtol = null, Value? atol = null, bool equalNan = false) => Record("isclose", [this, other], ("rtol", rtol), ("atol", atol), ("equal_nan", equalNan ? true : null));

    /// <summary>PyTorch's <c>allclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -&gt; bool</c></summary>
    public Value AllClose(Value other, Value? rtol = null, Value? atol = null, bool equalNan = false) => Record("allclose", [this, other], ("rtol", rtol), ("atol", atol), ("equal_nan", equalNan ? true : null));

    /// <summary>Same shape and same elements. PyTorch's <c>equal(Tensor self, Tensor other) -&gt; bool</c></summary>
    public Value Equal(Value other) => Record("equal", [this, other]);

    /// <summary>PyTorch's <c>signbit(Tensor self) -&gt; Tensor</c></summary>
    public Value SignBit() => Record("signbit", [this]);
}

// Comparison and logic.
public static partial class Op
{
    /// <summary>PyTorch's <c>isin(Tensor elements, Tensor test_elements, *, bool invert=False) -&gt; Tensor</c></summary>
    public static Value IsIn(Value elements, Value testElements, bool invert = false) => Value.Record("isin", [elements, testElements], ("invert", invert ? true : null));
}
