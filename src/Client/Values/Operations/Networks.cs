namespace Ndif;

// Activations, norms, layers and losses.
public partial class Value
{
    /// <summary>PyTorch's <c>softmax(Tensor self, int dim, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value Softmax(Value dim, DType? dtype = null) => Record("softmax", [this, dim], ("dtype", dtype));

    /// <summary>PyTorch's <c>log_softmax(Tensor self, int dim, *, ScalarType? dtype=None) -&gt; Tensor</c></summary>
    public Value LogSoftmax(Value dim, DType? dtype = null) => Record("log_softmax", [this, dim], ("dtype", dtype));

    /// <summary>PyTorch's <c>relu(Tensor self) -&gt; Tensor</c></summary>
    public Value Relu() => Record("relu", [this]);

    /// <summary>PyTorch's <c>relu6(Tensor self) -&gt; Tensor</c></summary>
    public Value Relu6() => Record("relu6", [this]);

    /// <summary>PyTorch's <c>leaky_relu(Tensor self, float negative_slope=0.01) -&gt; Tensor</c></summary>
    public Value LeakyRelu(Value? negativeSlope = null) => Record("leaky_relu", [this], ("negative_slope", negativeSlope));

    /// <summary>PyTorch's <c>elu(Tensor self, float alpha=1.0) -&gt; Tensor</c></summary>
    public Value Elu(Value? alpha = null) => Record("elu", [this], ("alpha", alpha));

    /// <summary>PyTorch's <c>selu(Tensor self) -&gt; Tensor</c></summary>
    public Value Selu() => Record("selu", [this]);

    /// <summary>Approximate is 'none' or 'tanh'. PyTorch's <c>gelu(Tensor self, *, str approximate='none') -&gt; Tensor</c></summary>
    public Value Gelu(string? approximate = null) => Record("gelu", [this], ("approximate", approximate));

    /// <summary>PyTorch's <c>silu(Tensor self) -&gt; Tensor</c></summary>
    public Value Silu() => Record("silu", [this]);

    /// <summary>PyTorch's <c>mish(Tensor self) -&gt; Tensor</c></summary>
    public Value Mish() => Record("mish", [this]);

    /// <summary>PyTorch's <c>sigmoid(Operand self) -&gt; Tensor</c></summary>
    public Value Sigmoid() => Record("sigmoid", [this]);

    /// <summary>PyTorch's <c>logsigmoid(Tensor self) -&gt; Tensor</c></summary>
    public Value LogSigmoid() => Record("logsigmoid", [this]);

    /// <summary>PyTorch's <c>tanh(Operand self) -&gt; Tensor</c></summary>
    public Value Tanh() => Record("tanh", [this]);

    /// <summary>PyTorch's <c>hardtanh(Tensor self, float min_val=-1.0, float max_val=1.0) -&gt; Tensor</c></summary>
    public Value HardTanh(Value? minVal = null, Value? maxVal = null) => Record("hardtanh", [this], ("min_val", minVal), ("max_val", maxVal));

    /// <summary>PyTorch's <c>hardsigmoid(Tensor self) -&gt; Tensor</c></summary>
    public Value HardSigmoid() => Record("hardsigmoid", [this]);

    /// <summary>PyTorch's <c>hardswish(Tensor self) -&gt; Tensor</c></summary>
    public Value HardSwish() => Record("hardswish", [this]);

    /// <summary>PyTorch's <c>softplus(Tensor self, float beta=1.0, float threshold=20.0) -&gt; Tensor</c></summary>
    public Value SoftPlus(Value? beta = null, Value? threshold = null) => Record("softplus", [this], ("beta", beta), ("threshold", threshold));

    /// <summary>PyTorch's <c>softsign(Tensor self) -&gt; Tensor</c></summary>
    public Value SoftSign() => Record("softsign", [this]);

    /// <summary>PyTorch's <c>threshold(Tensor self, float threshold, float value) -&gt; Tensor</c></summary>
    public Value Threshold(Value threshold, Value value) => Record("threshold", [this, threshold, value]);

    /// <summary>PyTorch's <c>glu(Tensor self, int dim=-1) -&gt; Tensor</c></summary>
    public Value Glu(Value? dim = null) => Record("glu", [this], ("dim", dim));

    /// <summary>PyTorch's <c>dropout(Tensor self, float p=0.5, bool training=True, *, int? seed=None) -&gt; Tensor</c></summary>
    public Value Dropout(Value? p = null, bool training = true, Value? seed = null) => Record("dropout", [this], ("p", p), ("training", training ? null : false), ("seed", seed));

    /// <summary>PyTorch's <c>normalize(Tensor self, float p=2.0, int dim=1, float eps=1e-12) -&gt; Tensor</c></summary>
    public Value Normalize(Value? p = null, Value? dim = null, Value? eps = null) => Record("normalize", [this], ("p", p), ("dim", dim), ("eps", eps));
}

// Activations, norms, layers and losses.
public static partial class Op
{
    /// <summary>PyTorch's <c>linear(Tensor input, Tensor weight, Tensor? bias=None) -&gt; Tensor</c></summary>
    public static Value Linear(Value input, Value weight, Value? bias = null) => Value.Record("linear", [input, weight], ("bias", bias));

    /// <summary>PyTorch's <c>embedding(Tensor input, Tensor weight) -&gt; Tensor</c></summary>
    public static Value Embedding(Value input, Value weight) => Value.Record("embedding", [input, weight]);

    /// <summary>PyTorch's <c>layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) -&gt; Tensor</c></summary>
    public static Value LayerNorm(Value input, Ints normalizedShape, Value? weight = null, Value? bias = null, Value? eps = null) => Value.Record("layer_norm", [input, normalizedShape], ("weight", weight), ("bias", bias), ("eps", eps));

    /// <summary>Eps=None is the smallest step of the element type, as PyTorch's. PyTorch's <c>rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None) -&gt; Tensor</c></summary>
    public static Value RmsNorm(Value input, Ints normalizedShape, Value? weight = null, Value? eps = null) => Value.Record("rms_norm", [input, normalizedShape], ("weight", weight), ("eps", eps));

    /// <summary>PyTorch's <c>group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) -&gt; Tensor</c></summary>
    public static Value GroupNorm(Value input, Value numGroups, Value? weight = null, Value? bias = null, Value? eps = null) => Value.Record("group_norm", [input, numGroups], ("weight", weight), ("bias", bias), ("eps", eps));

    /// <summary>PyTorch's <c>scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False, int? seed=None) -&gt; Tensor</c></summary>
    public static Value ScaledDotProductAttention(Value query, Value key, Value value, Value? attnMask = null, Value? dropoutP = null, bool isCausal = false, Value? scale = null, bool enableGqa = false, Value? seed = null) => Value.Record("scaled_dot_product_attention", [query, key, value], ("attn_mask", attnMask), ("dropout_p", dropoutP), ("is_causal", isCausal ? true : null), ("scale", scale), ("enable_gqa", enableGqa ? true : null), ("seed", seed));

    /// <summary>PyTorch's <c>cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -&gt; Tensor</c></summary>
    public static Value CosineSimilarity(Value x1, Value x2, Value? dim = null, Value? eps = null) => Value.Record("cosine_similarity", [x1, x2], ("dim", dim), ("eps", eps));

    /// <summary>PyTorch's <c>pairwise_distance(Tensor x1, Tensor x2, float p=2.0, float eps=1e-06, bool keepdim=False) -&gt; Tensor</c></summary>
    public static Value PairwiseDistance(Value x1, Value x2, Value? p = null, Value? eps = null, bool keepdim = false) => Value.Record("pairwise_distance", [x1, x2], ("p", p), ("eps", eps), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>cross_entropy(Tensor input, Tensor target, Tensor? weight=None, *, int ignore_index=-100, str reduction='mean', float label_smoothing=0.0) -&gt; Tensor</c></summary>
    public static Value CrossEntropy(Value input, Value target, Value? weight = null, Value? ignoreIndex = null, string? reduction = null, Value? labelSmoothing = null) => Value.Record("cross_entropy", [input, target], ("weight", weight), ("ignore_index", ignoreIndex), ("reduction", reduction), ("label_smoothing", labelSmoothing));

    /// <summary>PyTorch's <c>nll_loss(Tensor input, Tensor target, Tensor? weight=None, *, str reduction='mean') -&gt; Tensor</c></summary>
    public static Value NllLoss(Value input, Value target, Value? weight = null, string? reduction = null) => Value.Record("nll_loss", [input, target], ("weight", weight), ("reduction", reduction));

    /// <summary>PyTorch's <c>mse_loss(Tensor input, Tensor target, *, str reduction='mean') -&gt; Tensor</c></summary>
    public static Value MseLoss(Value input, Value target, string? reduction = null) => Value.Record("mse_loss", [input, target], ("reduction", reduction));

    /// <summary>PyTorch's <c>l1_loss(Tensor input, Tensor target, *, str reduction='mean') -&gt; Tensor</c></summary>
    public static Value L1Loss(Value input, Value target, string? reduction = null) => Value.Record("l1_loss", [input, target], ("reduction", reduction));

    /// <summary>PyTorch's <c>smooth_l1_loss(Tensor input, Tensor target, *, str reduction='mean', float beta=1.0) -&gt; Tensor</c></summary>
    public static Value SmoothL1Loss(Value input, Value target, string? reduction = null, Value? beta = null) => Value.Record("smooth_l1_loss", [input, target], ("reduction", reduction), ("beta", beta));

    /// <summary>PyTorch's <c>huber_loss(Tensor input, Tensor target, *, str reduction='mean', float delta=1.0) -&gt; Tensor</c></summary>
    public static Value HuberLoss(Value input, Value target, string? reduction = null, Value? delta = null) => Value.Record("huber_loss", [input, target], ("reduction", reduction), ("delta", delta));

    /// <summary>Reduction: 'none', 'mean', 'sum' or 'batchmean'. PyTorch's <c>kl_div(Tensor input, Tensor target, *, str reduction='mean', bool log_target=False) -&gt; Tensor</c></summary>
    public static Value KlDiv(Value input, Value target, string? reduction = null, bool logTarget = false) => Value.Record("kl_div", [input, target], ("reduction", reduction), ("log_target", logTarget ? true : null));

    /// <summary>PyTorch's <c>binary_cross_entropy(Tensor input, Tensor target, Tensor? weight=None, *, str reduction='mean') -&gt; Tensor</c></summary>
    public static Value BinaryCrossEntropy(Value input, Value target, Value? weight = null, string? reduction = null) => Value.Record("binary_cross_entropy", [input, target], ("weight", weight), ("reduction", reduction));

    /// <summary>PyTorch's <c>binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight=None, *, str reduction='mean', Tensor? pos_weight=None) -&gt; Tensor</c></summary>
    public static Value BinaryCrossEntropyWithLogits(Value input, Value target, Value? weight = null, string? reduction = null, Value? posWeight = null) => Value.Record("binary_cross_entropy_with_logits", [input, target], ("weight", weight), ("reduction", reduction), ("pos_weight", posWeight));
}
