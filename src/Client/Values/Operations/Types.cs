namespace Ndif;

// Element types, devices, plain numbers.
public partial class Value
{
    /// <summary>PyTorch's <c>to(Tensor self, ScalarType? dtype=None, Device? device=None) -&gt; Tensor</c></summary>
    public Value To(DType? dtype = null, string? device = null) => Record("to", [this], ("dtype", dtype), ("device", device));

    /// <summary>PyTorch's <c>type_as(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value TypeAs(Value other) => Record("type_as", [this, other]);

    /// <summary>PyTorch's <c>float(Tensor self) -&gt; Tensor</c></summary>
    public Value Float() => Record("float", [this]);

    /// <summary>PyTorch's <c>double(Tensor self) -&gt; Tensor</c></summary>
    public Value Double() => Record("double", [this]);

    /// <summary>PyTorch's <c>half(Tensor self) -&gt; Tensor</c></summary>
    public Value Half() => Record("half", [this]);

    /// <summary>PyTorch's <c>bfloat16(Tensor self) -&gt; Tensor</c></summary>
    public Value BFloat16() => Record("bfloat16", [this]);

    /// <summary>PyTorch's <c>long(Tensor self) -&gt; Tensor</c></summary>
    public Value Long() => Record("long", [this]);

    /// <summary>PyTorch's <c>int(Tensor self) -&gt; Tensor</c></summary>
    public Value Int() => Record("int", [this]);

    /// <summary>PyTorch's <c>bool(Tensor self) -&gt; Tensor</c></summary>
    public Value Bool() => Record("bool", [this]);

    /// <summary>PyTorch's <c>cpu(Tensor self) -&gt; Tensor</c></summary>
    public Value Cpu() => Record("cpu", [this]);

    /// <summary>The one element, as a number. PyTorch's <c>item(Operand self) -&gt; Any</c></summary>
    public Value Item() => Record("item", [this]);

    /// <summary>Nested lists of numbers. PyTorch's <c>tolist(Tensor self) -&gt; Any</c></summary>
    public Value ToList() => Record("tolist", [this]);
}
