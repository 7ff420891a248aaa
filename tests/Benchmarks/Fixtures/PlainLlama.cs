using Ndif.Models.Loading;
using TorchSharp;
using static TorchSharp.torch;
using Parameter = TorchSharp.Modules.Parameter;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>
/// The Llama of <see cref="LlamaCheckpoint"/> in plain TorchSharp, with a cache, libtorch's fused attention and a table of the rotations.
/// </summary>
internal sealed class PlainLlama : IPlainLanguageModel
{
    private const int HeadDim = LlamaCheckpoint.HiddenSize / LlamaCheckpoint.NumHeads,
        Groups = LlamaCheckpoint.NumHeads / LlamaCheckpoint.NumKvHeads;

    private readonly Parameter _embedding, _norm;
    private readonly Block[] _blocks;
    private readonly Tensor _cosines, _sines; // [maxPositions, headDim]

    /// <param name="model">The model whose weights are used, without a copy.</param>
    public PlainLlama(LoadedModel model)
    {
        var weights = new PlainWeights(model);
        (_embedding, _norm) = (weights["model.embed_tokens.weight"], weights["model.norm.weight"]);
        _blocks = [.. Enumerable.Range(0, LlamaCheckpoint.NumLayers).Select(layer => Block.Of(weights, $"model.layers.{layer}"))];
        using var scope = NewDisposeScope();
        Tensor frequencies = pow(10000f, arange(0, HeadDim, 2, ScalarType.Float32) / -HeadDim);         // [headDim/2]
        Tensor angles = arange(LlamaCheckpoint.MaxPositions, ScalarType.Float32).unsqueeze(1) * cat([frequencies, frequencies]);
        _cosines = angles.cos().to_type(_embedding.dtype).DetachFromDisposeScope();
        _sines = angles.sin().to_type(_embedding.dtype).DetachFromDisposeScope();
    }

    public PlainKeyValueCache NewCache(int capacity, int[] padding) =>
        new(LlamaCheckpoint.NumLayers, LlamaCheckpoint.NumKvHeads, HeadDim, capacity, _embedding.dtype, padding);

    public Tensor Step(Tensor ids, Tensor positions, PlainKeyValueCache cache)
    {
        using var scope = NewDisposeScope();
        long tokens = ids.size(1);
        Tensor hidden = _embedding.index(TensorIndex.Tensor(ids));                                       // [batch, seq, hidden]
        Tensor mask = cache.Mask(tokens);                                                               // [batch, 1, seq, kvSeq]
        Tensor cosines = _cosines.index(TensorIndex.Tensor(positions)).unsqueeze(1);                     // [batch, 1, seq, headDim]
        Tensor sines = _sines.index(TensorIndex.Tensor(positions)).unsqueeze(1);                         // [batch, 1, seq, headDim]
        for (int layer = 0; layer < _blocks.Length; layer++)
        {
            using var layerScope = NewDisposeScope();
            Tensor middle = hidden + Attention(_blocks[layer], Norm(hidden, _blocks[layer].InputNorm), mask, cosines, sines, cache, layer);
            Tensor next = middle + Mlp(_blocks[layer], Norm(middle, _blocks[layer].PostAttentionNorm)); // [batch, seq, hidden]
            hidden.Dispose();
            hidden = next.MoveToOuterDisposeScope();
        }
        cache.Advance(tokens);
        Tensor last = Norm(hidden.narrow(1, tokens - 1, 1), _norm);                                     // [batch, 1, hidden]
        return nn.functional.linear(last, _embedding).squeeze(1).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        _cosines.Dispose();
        _sines.Dispose();
    }

    private static Tensor Attention(
        Block block, Tensor hidden, Tensor mask, Tensor cosines, Tensor sines, PlainKeyValueCache cache, int layer)
    {
        long rows = hidden.size(0), tokens = hidden.size(1);
        Tensor query = Rotate(Heads(block.Query), cosines, sines);                                      // [batch, heads, seq, headDim]
        Tensor key = Rotate(Heads(block.Key), cosines, sines);                                          // [batch, kvHeads, seq, headDim]
        var (keys, values) = cache.Append(layer, key, Heads(block.Value));                              // [batch, kvHeads, kvSeq, headDim]
        if (tokens == 1)
        {
            // the queries of a group see the same keys: they are the tokens of one head
            query = query.view(rows, LlamaCheckpoint.NumKvHeads, Groups, HeadDim);
        }
        else
        {
            keys = keys.repeat_interleave(Groups, 1);                                                   // [batch, heads, kvSeq, headDim]
            values = values.repeat_interleave(Groups, 1);                                               // [batch, heads, kvSeq, headDim]
        }
        Tensor mixed = nn.functional.scaled_dot_product_attention(query, keys, values, mask);
        Tensor joined = mixed.view(rows, LlamaCheckpoint.NumHeads, tokens, HeadDim).transpose(1, 2)
            .reshape(rows, tokens, LlamaCheckpoint.HiddenSize);                                         // [batch, seq, hidden]
        return nn.functional.linear(joined, block.Output);

        Tensor Heads(Parameter weight) => nn.functional.linear(hidden, weight).view(rows, tokens, -1, HeadDim).transpose(1, 2);
    }

    private static Tensor Rotate(Tensor x, Tensor cosines, Tensor sines)
    {
        Tensor[] halves = x.chunk(2, -1);                                                   // 2 x [batch, heads, seq, headDim/2]
        return x * cosines + cat([-halves[1], halves[0]], -1) * sines;
    }

    private static Tensor Mlp(Block block, Tensor hidden) => nn.functional.linear(
        nn.functional.silu(nn.functional.linear(hidden, block.Gate)) * nn.functional.linear(hidden, block.Up), block.Down);

    private static Tensor Norm(Tensor hidden, Parameter weight)
    {
        Tensor wide = hidden.to_type(ScalarType.Float32);                                               // [batch, seq, hidden]
        Tensor scale = rsqrt(wide.square().mean([-1], keepdim: true) + 1e-5);                           // [batch, seq, 1]
        return weight * (wide * scale).to_type(hidden.dtype);
    }

    private sealed record Block(Parameter InputNorm, Parameter Query, Parameter Key, Parameter Value, Parameter Output,
        Parameter PostAttentionNorm, Parameter Gate, Parameter Up, Parameter Down)
    {
        public static Block Of(PlainWeights weights, string path)
        {
            return new Block(Get("input_layernorm"), Get("self_attn.q_proj"), Get("self_attn.k_proj"), Get("self_attn.v_proj"),
                Get("self_attn.o_proj"), Get("post_attention_layernorm"), Get("mlp.gate_proj"), Get("mlp.up_proj"), Get("mlp.down_proj"));

            Parameter Get(string name) => weights[$"{path}.{name}.weight"];
        }
    }
}
