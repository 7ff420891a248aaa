using Ndif.Models.ForwardSource;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>The logits of the token at each place, also where a text has a mask in its place. An architecture derives from it.</summary>
/// <remarks>BertForMaskedLM in transformers/models/bert/modeling_bert.py and its relatives</remarks>
[SharedLayer]
public partial class EncoderForMaskedLM : EncoderWithHead
{
    private protected TensorModule? _transform, _activation, _norm, _decoder;

    private protected EncoderForMaskedLM(EncoderModel model, params ReadOnlySpan<(string Name, SiteModule Module)> before) :
        base(model, before) { }

    public sealed override ModelTask Task => ModelTask.MaskedLm;

    protected sealed override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, Tensor? tokenTypeIds)
    {
        using var scope = NewDisposeScope();
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, tokenTypeIds);
        var hidden = (Tensor)output["last_hidden_state"]!;                          // [batch, seq, hidden]
        if (_transform is not null) hidden = _transform.Call(hidden);               // [batch, seq, hidden]
        if (_activation is not null) hidden = _activation.Call(hidden);             // [batch, seq, hidden]
        if (_norm is not null) hidden = _norm.Call(hidden);                         // [batch, seq, hidden]
        Tensor logits = _decoder!.Call(hidden);                                     // [batch, seq, vocab]
        return new ModelOutput(new KeyValuePair<string, object?>("logits", logits.MoveToOuterDisposeScope()));
    }
}
