using Ndif.Models.Loading;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Layers;

/// <summary>The precision of rotary positions in bfloat16, which differs between architectures in Hugging Face's code.</summary>
public sealed class RotaryPrecisionTests : IDisposable
{
    private static readonly float[] _frequencies = [1f, 0.01f];

    private readonly TempFolder _folder = new();
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly IDisposable _noGrad = no_grad();

    public void Dispose()
    {
        _noGrad.Dispose();
        _scope.Dispose();
        _folder.Dispose();
    }

    /// <summary>
    /// transformers/models/olmo2/modeling_olmo2.py: the rotary embedding returns float32; apply_rotary_pos_emb multiplies in float32 and
    /// casts the result back.
    /// </summary>
    [Theory]
    [InlineData("Olmo2ForCausalLM", true)]
    [InlineData("LlamaForCausalLM", false)]
    public void Attention_RotatesAsItsArchitectureDoes(string architecture, bool isFloat32)
    {
        TinyModel.Write(_folder, TinyModel.LikeLlama(architecture, kvHeads: 4, layers: 1));
        using LoadedModel model = TinyModel.Load(_folder.Path, ScalarType.BFloat16);
        const int Seq = 9;
        using torch.Generator generator = new(5);
        Tensor hidden = randn([1, Seq, 16], generator: generator).to(ScalarType.BFloat16);
        Tensor position = arange(Seq).unsqueeze(0);
        var rotary = (Models.Layers.RotaryEmbedding)model.Module("model.rotary_emb")!;
        object?[] embeddings = rotary.Call(hidden, position);
        Assert.Equal(isFloat32 ? ScalarType.Float32 : ScalarType.BFloat16, ((Tensor)embeddings[0]!).dtype);
        Tensor mask = full([Seq, Seq], -1e9f).triu(1).to(ScalarType.BFloat16).view(1, 1, Seq, Seq);
        var attention = (Models.Layers.DecoderAttention)model.Module("model.layers.0.self_attn")!;
        var actual = (Tensor)attention.Call(hidden, mask, position, null, embeddings)[0]!;

        // by hand, with angles = position · 10000^(-2i / 4)
        Tensor angles = position.to(ScalarType.Float32).unsqueeze(-1) * tensor(_frequencies);   // [1, seq, 2]
        Tensor cosines = cat([angles.cos(), angles.cos()], -1).unsqueeze(1), sines = cat([angles.sin(), angles.sin()], -1).unsqueeze(1);
        if (!isFloat32) (cosines, sines) = (cosines.to(ScalarType.BFloat16), sines.to(ScalarType.BFloat16));
        Tensor query = Rotated("q"), key = Rotated("k"), value = Heads(Run("v_proj", hidden));
        Tensor scores = matmul(query, key.transpose(2, 3)) * 0.5 + mask;
        Tensor probabilities = scores.to(ScalarType.Float32).softmax(-1).to(ScalarType.BFloat16);
        Tensor expected = Run("o_proj", matmul(probabilities, value).transpose(1, 2).flatten(2));
        Assert.True(TinyModel.Difference(expected.to(ScalarType.Float32), actual.to(ScalarType.Float32)) == 0);

        Tensor Rotated(string name)
        {
            Tensor x = Run($"{name}_proj", hidden);
            x = Heads(isFloat32 ? Run($"{name}_norm", x) : x);
            Tensor half = cat([-x.narrow(-1, 2, 2), x.narrow(-1, 0, 2)], -1);
            return (x * cosines + half * sines).to(ScalarType.BFloat16);
        }

        Tensor Run(string module, Tensor input) => ((TensorModule)model.Module($"model.layers.0.self_attn.{module}")!).Call(input);

        static Tensor Heads(Tensor x) => x.view(1, Seq, 4, 4).transpose(1, 2);
    }

    /// <summary>
    /// transformers/models/gptj/modeling_gptj.py: the table of sines and cosines is float32, and nothing casts the keys back.
    /// </summary>
    [Fact]
    public void GPTJ_CachesKeysInFloat32()
    {
        TinyModel.Write(_folder, TinyModel.LikeLlama("GPTJForCausalLM", kvHeads: 4, layers: 1).Trim()[..^1]
            + """, "n_embd": 16, "n_layer": 1, "n_head": 4, "n_inner": 24, "n_positions": 64, "rotary_dim": 2 }""");
        using LoadedModel model = TinyModel.Load(_folder.Path, ScalarType.BFloat16);
        using KeyValueCache cache = model.NewCache();
        Tensor ids = TinyModel.Ids(1, 5, seed: 3);
        Assert.Equal(ScalarType.BFloat16, TinyModel.Logits(model, ids, cache: cache).dtype);
        var (keys, values) = cache.Update(0, zeros(1, 4, 1, 4), zeros(1, 4, 1, 4, ScalarType.BFloat16));
        Assert.Equal(ScalarType.Float32, keys.dtype);
        Assert.Equal(ScalarType.BFloat16, values.dtype);
        Assert.Equal(ScalarType.BFloat16, TinyModel.Logits(model, ids.narrow(1, 0, 1), ones_like(TinyModel.Ids(1, 6, 1)), cache).dtype);
    }
}
