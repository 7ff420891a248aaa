namespace Ndif.Protocol.Ops;

// What layers are made of. Names and defaults are torch.nn.functional's.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Networks = """
        softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor
        log_softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor
        relu(Tensor self) -> Tensor
        relu6(Tensor self) -> Tensor
        leaky_relu(Tensor self, float negative_slope=0.01) -> Tensor
        elu(Tensor self, float alpha=1.0) -> Tensor
        selu(Tensor self) -> Tensor
        # approximate is 'none' or 'tanh'
        gelu(Tensor self, *, str approximate='none') -> Tensor
        silu(Tensor self) -> Tensor
        mish(Tensor self) -> Tensor
        sigmoid(Operand self) -> Tensor
        logsigmoid(Tensor self) -> Tensor
        tanh(Operand self) -> Tensor
        hardtanh(Tensor self, float min_val=-1.0, float max_val=1.0) -> Tensor
        hardsigmoid(Tensor self) -> Tensor
        hardswish(Tensor self) -> Tensor
        softplus(Tensor self, float beta=1.0, float threshold=20.0) -> Tensor
        softsign(Tensor self) -> Tensor
        threshold(Tensor self, float threshold, float value) -> Tensor
        glu(Tensor self, int dim=-1) -> Tensor
        dropout(Tensor self, float p=0.5, bool training=True, *, int? seed=None) -> Tensor
        linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor
        embedding(Tensor input, Tensor weight) -> Tensor
        layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) -> Tensor
        # eps=None is the smallest step of the element type, as PyTorch's
        rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor
        group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05) -> Tensor
        scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False, int? seed=None) -> Tensor
        normalize(Tensor self, float p=2.0, int dim=1, float eps=1e-12) -> Tensor
        cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor
        pairwise_distance(Tensor x1, Tensor x2, float p=2.0, float eps=1e-06, bool keepdim=False) -> Tensor
        cross_entropy(Tensor input, Tensor target, Tensor? weight=None, *, int ignore_index=-100, str reduction='mean', float label_smoothing=0.0) -> Tensor
        nll_loss(Tensor input, Tensor target, Tensor? weight=None, *, str reduction='mean') -> Tensor
        mse_loss(Tensor input, Tensor target, *, str reduction='mean') -> Tensor
        l1_loss(Tensor input, Tensor target, *, str reduction='mean') -> Tensor
        smooth_l1_loss(Tensor input, Tensor target, *, str reduction='mean', float beta=1.0) -> Tensor
        huber_loss(Tensor input, Tensor target, *, str reduction='mean', float delta=1.0) -> Tensor
        # reduction: 'none', 'mean', 'sum' or 'batchmean'
        kl_div(Tensor input, Tensor target, *, str reduction='mean', bool log_target=False) -> Tensor
        binary_cross_entropy(Tensor input, Tensor target, Tensor? weight=None, *, str reduction='mean') -> Tensor
        binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight=None, *, str reduction='mean', Tensor? pos_weight=None) -> Tensor
        """;
}
