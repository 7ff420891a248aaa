using Ndif.Models.Loading;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Parameter = TorchSharp.Modules.Parameter;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>
/// GPT-2 in plain TorchSharp, without sites: the baseline of our own model. It runs the same operations on the same memory, with attention
/// written out in the same way, and disposes every intermediate tensor as soon as possible.
/// </summary>
internal sealed class PlainGPT2 : nn.Module<Tensor, Tensor, Tensor, Tensor>, IPlainLanguageModel
{
    private readonly GPT2Checkpoint _shape;
    private readonly Parameter _wte, _wpe;
    private readonly ModuleList<PlainBlock> _h;
    private readonly PlainLayerNorm _lnF;

    /// <param name="model">The model whose weights are used, without a copy.</param>
    public PlainGPT2(LoadedModel model, GPT2Checkpoint shape) : base("gpt2")
    {
        _shape = shape;
        var weights = new PlainWeights(model);
        (_wte, _wpe) = (weights["transformer.wte.weight"], weights["transformer.wpe.weight"]);
        _h = new ModuleList<PlainBlock>(
            [.. Enumerable.Range(0, shape.NumLayers).Select(layer => new PlainBlock(weights, $"transformer.h.{layer}", shape))]);
        _lnF = new PlainLayerNorm(weights, "transformer.ln_f", shape.HiddenSize);
        RegisterComponents();
    }

    /// <param name="ids">[batch, seq] int64</param>
    /// <param name="padding">[batch, seq] int64</param>
    /// <param name="positions">[batch, seq] int64</param>
    /// <returns>logits [batch, seq, vocab]</returns>
    public override Tensor forward(Tensor ids, Tensor padding, Tensor positions)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _wte.index(TensorIndex.Tensor(ids)) + _wpe.index(TensorIndex.Tensor(positions)); // [batch, seq, hidden]
        Tensor mask = Mask(padding);                                                                     // [batch, 1, seq, seq]
        foreach (PlainBlock block in _h) hidden = block.call(hidden, mask);
        return nn.functional.linear(_lnF.call(hidden), _wte).MoveToOuterDisposeScope();
    }

    public PlainKeyValueCache NewCache(int capacity, int[] padding) =>
        new(_shape.NumLayers, _shape.NumHeads, _shape.HiddenSize / _shape.NumHeads, capacity, _wte.dtype, padding);

    public Tensor Step(Tensor ids, Tensor positions, PlainKeyValueCache cache)
    {
        using var scope = NewDisposeScope();
        long tokens = ids.size(1);
        Tensor hidden = _wte.index(TensorIndex.Tensor(ids)) + _wpe.index(TensorIndex.Tensor(positions));  // [batch, seq, hidden]
        Tensor mask = cache.Mask(tokens);                                                               // [batch, 1, seq, kvSeq]
        for (int layer = 0; layer < _h.Count; layer++) hidden = _h[layer].Step(hidden, mask, cache, layer);
        cache.Advance(tokens);
        Tensor last = hidden.narrow(1, tokens - 1, 1);                                                  // [batch, 1, hidden]
        return nn.functional.linear(_lnF.call(last), _wte).squeeze(1).MoveToOuterDisposeScope();
    }

    private static Tensor Mask(Tensor padding)
    {
        using var scope = NewDisposeScope();
        long rows = padding.size(0), tokens = padding.size(1);
        Tensor key = arange(tokens);                                                            // [seq]
        Tensor hidden = (key > key.unsqueeze(1)) | (padding == 0).view(rows, 1, 1, tokens);     // [batch, 1, seq, seq]
        return zeros([rows, 1, tokens, tokens]).masked_fill_(hidden, float.MinValue).MoveToOuterDisposeScope();
    }
}

internal sealed class PlainBlock : nn.Module<Tensor, Tensor, Tensor>
{
    private readonly PlainLayerNorm _ln1, _ln2;
    private readonly PlainAttention _attn;
    private readonly PlainMLP _mlp;

    public PlainBlock(PlainWeights weights, string path, GPT2Checkpoint shape) : base("block")
    {
        _ln1 = new PlainLayerNorm(weights, $"{path}.ln_1", shape.HiddenSize);
        _attn = new PlainAttention(weights, $"{path}.attn", shape);
        _ln2 = new PlainLayerNorm(weights, $"{path}.ln_2", shape.HiddenSize);
        _mlp = new PlainMLP(weights, $"{path}.mlp");
        RegisterComponents();
    }

    public override Tensor forward(Tensor hidden, Tensor mask)
    {
        using var scope = NewDisposeScope();
        Tensor middle = _attn.call(_ln1.call(hidden), mask) + hidden;                       // [batch, seq, hidden]
        return (middle + _mlp.call(_ln2.call(middle))).MoveToOuterDisposeScope();           // [batch, seq, hidden]
    }

    /// <summary>The same with a cache.</summary>
    public Tensor Step(Tensor hidden, Tensor mask, PlainKeyValueCache cache, int layer)
    {
        using var scope = NewDisposeScope();
        Tensor middle = _attn.Step(_ln1.call(hidden), mask, cache, layer) + hidden;         // [batch, seq, hidden]
        return (middle + _mlp.call(_ln2.call(middle))).MoveToOuterDisposeScope();           // [batch, seq, hidden]
    }
}

internal sealed class PlainAttention : nn.Module<Tensor, Tensor, Tensor>
{
    private readonly PlainConv1D _cAttn, _cProj;
    private readonly long _numHeads, _hiddenSize;
    private readonly double _scale;

    public PlainAttention(PlainWeights weights, string path, GPT2Checkpoint shape) : base("attention")
    {
        (_numHeads, _hiddenSize) = (shape.NumHeads, shape.HiddenSize);
        _scale = 1 / Math.Sqrt(shape.HiddenSize / shape.NumHeads);
        _cAttn = new PlainConv1D(weights, $"{path}.c_attn");
        _cProj = new PlainConv1D(weights, $"{path}.c_proj");
        RegisterComponents();
    }

    public override Tensor forward(Tensor hidden, Tensor mask)
    {
        using var scope = NewDisposeScope();
        long rows = hidden.size(0), tokens = hidden.size(1);
        Tensor[] parts = _cAttn.call(hidden).split(_hiddenSize, 2);                              // 3 x [batch, seq, hidden]
        Tensor query = Heads(parts[0]), key = Heads(parts[1]), value = Heads(parts[2]);     // [batch, heads, seq, headDim]
        Tensor scores = matmul(query, key.transpose(-2, -1)) * _scale + mask;               // [batch, heads, seq, seq]
        Tensor probabilities = nn.functional.softmax(scores, -1);                           // [batch, heads, seq, seq]
        Tensor mixed = matmul(probabilities, value).transpose(1, 2).contiguous();           // [batch, seq, heads, headDim]
        return _cProj.call(mixed.view(rows, tokens, _hiddenSize)).MoveToOuterDisposeScope();     // [batch, seq, hidden]

        Tensor Heads(Tensor part) => part.view(rows, tokens, _numHeads, _hiddenSize / _numHeads).transpose(1, 2);
    }

    /// <summary>The same with a cache and libtorch's fused attention.</summary>
    public Tensor Step(Tensor hidden, Tensor mask, PlainKeyValueCache cache, int layer)
    {
        using var scope = NewDisposeScope();
        long rows = hidden.size(0), tokens = hidden.size(1);
        Tensor[] parts = _cAttn.call(hidden).split(_hiddenSize, 2);                              // 3 x [batch, seq, hidden]
        var (keys, values) = cache.Append(layer, Heads(parts[1]), Heads(parts[2]));              // [batch, heads, kvSeq, headDim]
        Tensor mixed = nn.functional.scaled_dot_product_attention(Heads(parts[0]), keys, values, mask); // [batch, heads, seq, headDim]
        return _cProj.call(mixed.transpose(1, 2).reshape(rows, tokens, _hiddenSize)).MoveToOuterDisposeScope();

        Tensor Heads(Tensor part) => part.view(rows, tokens, _numHeads, _hiddenSize / _numHeads).transpose(1, 2);
    }
}

internal sealed class PlainMLP : nn.Module<Tensor, Tensor>
{
    private readonly PlainConv1D _cFc, _cProj;

    public PlainMLP(PlainWeights weights, string path) : base("mlp")
    {
        _cFc = new PlainConv1D(weights, $"{path}.c_fc");
        _cProj = new PlainConv1D(weights, $"{path}.c_proj");
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        return _cProj.call(nn.functional.gelu(_cFc.call(input), GELU.Approximate.tanh)).MoveToOuterDisposeScope();
    }
}

internal sealed class PlainConv1D : nn.Module<Tensor, Tensor>
{
    private readonly Parameter _weight, _bias;
    private readonly long _inFeatures, _outFeatures;

    public PlainConv1D(PlainWeights weights, string path) : base("conv1d")
    {
        (_weight, _bias) = (weights[$"{path}.weight"], weights[$"{path}.bias"]);
        (_inFeatures, _outFeatures) = (_weight.size(0), _weight.size(1));
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using Tensor flat = input.view(-1, _inFeatures);                                        // [batch · seq, inFeatures]
        using Tensor output = addmm(_bias, flat, _weight, 1, 1);                            // [batch · seq, outFeatures]
        return output.view(input.size(0), input.size(1), _outFeatures);
    }
}

internal sealed class PlainLayerNorm : nn.Module<Tensor, Tensor>
{
    private readonly Parameter _weight, _bias;
    private readonly long[] _shape;

    public PlainLayerNorm(PlainWeights weights, string path, int hiddenSize) : base("layer_norm")
    {
        (_weight, _bias, _shape) = (weights[$"{path}.weight"], weights[$"{path}.bias"], [hiddenSize]);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input) => nn.functional.layer_norm(input, _shape, _weight, _bias, 1e-5);
}

/// <summary>A loaded model's weights by their names in the checkpoint, as parameters over the same memory.</summary>
internal sealed class PlainWeights(LoadedModel model)
{
    private readonly Dictionary<string, Ndif.Models.Parameter> _byName = model.Modules
        .SelectMany(m => m.Parameters.Select(p => KeyValuePair.Create($"{m.Path}.{p.Name}", p))).ToDictionary();

    public Parameter this[string name] => new(_byName[name].Value.alias(), requires_grad: false);
}
