namespace Ndif;

// Random numbers: the same for the same seed.
public partial class Value
{
    /// <summary>Without p the elements are the probabilities. PyTorch's <c>bernoulli(Tensor self, float? p=None, *, int? seed=None) -&gt; Tensor</c></summary>
    public Value Bernoulli(Value? p = null, Value? seed = null) => Record("bernoulli", [this], ("p", p), ("seed", seed));

    /// <summary>PyTorch's <c>multinomial(Tensor self, int num_samples, bool replacement=False, *, int? seed=None) -&gt; Tensor</c></summary>
    public Value Multinomial(Value numSamples, bool replacement = false, Value? seed = null) => Record("multinomial", [this, numSamples], ("replacement", replacement ? true : null), ("seed", seed));

    /// <summary>PyTorch's <c>poisson(Tensor self, *, int? seed=None) -&gt; Tensor</c></summary>
    public Value Poisson(Value? seed = null) => Record("poisson", [this], ("seed", seed));

    /// <summary>PyTorch's <c>normal_(Tensor self, float mean=0.0, float std=1.0, *, int? seed=None) -&gt; Tensor</c></summary>
    public Value Normal_(Value? mean = null, Value? std = null, Value? seed = null) => Record("normal_", [this], ("mean", mean), ("std", std), ("seed", seed));

    /// <summary>PyTorch's <c>uniform_(Tensor self, float from=0.0, float to=1.0, *, int? seed=None) -&gt; Tensor</c></summary>
    public Value Uniform_(Value? from = null, Value? to = null, Value? seed = null) => Record("uniform_", [this], ("from", from), ("to", to), ("seed", seed));

    /// <summary>PyTorch's <c>bernoulli_(Tensor self, float p=0.5, *, int? seed=None) -&gt; Tensor</c></summary>
    public Value Bernoulli_(Value? p = null, Value? seed = null) => Record("bernoulli_", [this], ("p", p), ("seed", seed));
}

// Random numbers: the same for the same seed.
public static partial class Op
{
    /// <summary>PyTorch's <c>rand(int[] size, *, ScalarType? dtype=None, Device? device=None, int? seed=None) -&gt; Tensor</c></summary>
    public static Value Rand(Ints size, DType? dtype = null, string? device = null, Value? seed = null) => Value.Record("rand", [size], ("dtype", dtype), ("device", device), ("seed", seed));

    /// <summary>PyTorch's <c>randn(int[] size, *, ScalarType? dtype=None, Device? device=None, int? seed=None) -&gt; Tensor</c></summary>
    public static Value Randn(Ints size, DType? dtype = null, string? device = null, Value? seed = null) => Value.Record("randn", [size], ("dtype", dtype), ("device", device), ("seed", seed));

    /// <summary>PyTorch's <c>randint(int low, int high, int[] size, *, ScalarType? dtype=None, Device? device=None, int? seed=None) -&gt; Tensor</c></summary>
    public static Value RandInt(Value low, Value high, Ints size, DType? dtype = null, string? device = null, Value? seed = null) => Value.Record("randint", [low, high, size], ("dtype", dtype), ("device", device), ("seed", seed));

    /// <summary>PyTorch's <c>randperm(int n, *, ScalarType? dtype=None, Device? device=None, int? seed=None) -&gt; Tensor</c></summary>
    public static Value RandPerm(Value n, DType? dtype = null, string? device = null, Value? seed = null) => Value.Record("randperm", [n], ("dtype", dtype), ("device", device), ("seed", seed));

    /// <summary>PyTorch's <c>rand_like(Tensor self, *, ScalarType? dtype=None, int? seed=None) -&gt; Tensor</c></summary>
    public static Value RandLike(Value self, DType? dtype = null, Value? seed = null) => Value.Record("rand_like", [self], ("dtype", dtype), ("seed", seed));

    /// <summary>PyTorch's <c>randn_like(Tensor self, *, ScalarType? dtype=None, int? seed=None) -&gt; Tensor</c></summary>
    public static Value RandnLike(Value self, DType? dtype = null, Value? seed = null) => Value.Record("randn_like", [self], ("dtype", dtype), ("seed", seed));

    /// <summary>PyTorch's <c>randint_like(Tensor self, int low, int high, *, ScalarType? dtype=None, int? seed=None) -&gt; Tensor</c></summary>
    public static Value RandIntLike(Value self, Value low, Value high, DType? dtype = null, Value? seed = null) => Value.Record("randint_like", [self, low, high], ("dtype", dtype), ("seed", seed));

    /// <summary>PyTorch's <c>normal(Operand mean, Operand std, int[]? size=None, *, int? seed=None) -&gt; Tensor</c></summary>
    public static Value Normal(Value mean, Value std, Ints? size = null, Value? seed = null) => Value.Record("normal", [mean, std], ("size", size), ("seed", seed));
}
