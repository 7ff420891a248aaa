using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Attention and mlp, each added to the residual stream, with norms where <see cref="LayerNorms"/> says.</summary>
/// <remarks>
/// LlamaDecoderLayer in transformers/models/llama/modeling_llama.py and its relatives; Hugging Face has one copy per model.
/// </remarks>
[SharedLayer]
public partial class DecoderLayer : DecoderBlock
{
    private protected readonly DecoderAttention _selfAttn;
    private protected readonly TensorModule _mlp;
    private protected readonly TensorModule? _inputNorm, _attentionOutputNorm, _mlpInputNorm, _mlpOutputNorm;
    private protected readonly Dropout? _attentionDropout, _mlpDropout;
    private readonly bool _mlpReadsInputNorm;
    private readonly double? _residualMultiplier;

    internal DecoderLayer(DecoderDescription description, int layer, string? className = null) : base(description, className)
    {
        _selfAttn = Child("self_attn", description.CreateAttention(description, layer));
        _mlp = Child(description.MlpName, description.CreateMlp(description, layer));
        _mlpReadsInputNorm = description.LayerNorms.MlpReadsFirstNorm;
        _residualMultiplier = description.ResidualMultiplier;
        foreach (var (position, name) in description.LayerNorms.Norms)
        {
            TensorModule norm = Child(name, description.CreateNorm(description.Config.HiddenSize));
            if (position is NormPosition.BeforeAttention) _inputNorm = norm;
            else if (position is NormPosition.AfterAttention) _attentionOutputNorm = norm;
            else if (position is NormPosition.BeforeMlp) _mlpInputNorm = norm;
            else _mlpOutputNorm = norm;
        }
        if (description.ResidualDropouts is not var (attention, mlp, p)) return;
        if (attention.Length > 0) _attentionDropout = Child(attention, new Dropout(p));
        _mlpDropout = attention == mlp ? _attentionDropout : Child(mlp, new Dropout(p));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info)
    {
        string attention = (_attentionOutputNorm ?? (SiteModule)_selfAttn).Name, mlp = (_mlpOutputNorm ?? _mlp).Name;
        info.Residual = _mlpReadsInputNorm ? Layouts.Parallel(attention, mlp)
            : Layouts.Sequential(attention, mlp, scale: _residualMultiplier);
    }

    protected override object?[] Forward(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = hidden;                                                                             // [batch, seq, hidden]
        if (_inputNorm is not null) normal = _inputNorm.Call(hidden);                                       // [batch, seq, hidden]
        var attended = (Tensor)_selfAttn.Call(normal, mask, positionIds, cache, positionEmbeddings)[0]!;    // [batch, seq, hidden]
        if (_attentionOutputNorm is not null) attended = _attentionOutputNorm.Call(attended);               // [batch, seq, hidden]
        if (_attentionDropout is not null) attended = _attentionDropout.Call(attended);                     // [batch, seq, hidden]
        if (_residualMultiplier is not null) attended = attended * _residualMultiplier.Value;               // [batch, seq, hidden]
        Tensor middle = hidden + attended;                                                                  // [batch, seq, hidden]
        Tensor mlpInput = middle;                                                                           // [batch, seq, hidden]
        if (_mlpReadsInputNorm) mlpInput = normal;                                                          // [batch, seq, hidden]
        if (_mlpInputNorm is not null) mlpInput = _mlpInputNorm.Call(middle);                               // [batch, seq, hidden]
        Tensor changed = _mlp.Call(mlpInput);                                                               // [batch, seq, hidden]
        if (_mlpOutputNorm is not null) changed = _mlpOutputNorm.Call(changed);                             // [batch, seq, hidden]
        if (_mlpDropout is not null) changed = _mlpDropout.Call(changed);                                   // [batch, seq, hidden]
        if (_residualMultiplier is not null) changed = changed * _residualMultiplier.Value;                 // [batch, seq, hidden]
        Tensor output = middle + changed;                                                                   // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}
