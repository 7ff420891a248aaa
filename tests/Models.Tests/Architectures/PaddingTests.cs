using CsCheck;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Architectures;

public sealed class PaddingTests
{
    private static readonly Gen<(int, int, int, int)> s_cases =
        Gen.Select(Gen.Int[1, 2], Gen.Int[1, 12], Gen.Int[0, 9], Gen.Int[1, 1000]);

    [Theory]
    [InlineData("gpt2")]
    [InlineData("MistralForCausalLM")]
    [InlineData("Qwen2ForCausalLM")]
    [InlineData("Qwen3ForCausalLM")]
    [InlineData("Olmo2ForCausalLM")]
    [InlineData("Phi3ForCausalLM")]
    [InlineData("Starcoder2ForCausalLM")]
    [InlineData("StableLmForCausalLM")]
    [InlineData("MixtralForCausalLM")]
    [InlineData("Qwen2MoeForCausalLM")]
    [InlineData("Qwen3MoeForCausalLM")]
    [InlineData("llama")]
    public void PaddedRow_GivesSameLogits_AsSingleRow(string architecture) => s_cases.Sample((shape, tokens, padding, seed) =>
    {
        using LoadedModel model = Load(architecture, shape, seed, out TempFolder folder);
        using var _ = folder;
        using var nothing = no_grad();
        using var scope = NewDisposeScope();
        Tensor row = TinyModel.Ids(1, tokens, seed), other = TinyModel.Ids(1, tokens + padding, seed + 1);      // [1, tokens]
        Tensor alone = TinyModel.Logits(model, row);                                                            // [1, tokens, vocabulary]
        Tensor ids = cat([cat([zeros([1, padding], ScalarType.Int64), row], 1), other]);                        // [2, padding + tokens]
        Tensor mask = ones_like(ids);
        mask[0, ..padding] = 0;
        Tensor together = TinyModel.Logits(model, ids, mask)[0].narrow(0, padding, tokens);                     // [tokens, vocabulary]
        Assert.True(TinyModel.Difference(together, alone[0]) <= 1e-4);
        Assert.True(together.argmax(-1).Equals(alone[0].argmax(-1)));
        Assert.True(TinyModel.Difference(TinyModel.Logits(model, ids, mask)[1], TinyModel.Logits(model, other)[0]) <= 1e-4);
    }, iter: 25);

    [Theory]
    [InlineData("gpt2")]
    [InlineData("MistralForCausalLM")]
    [InlineData("Qwen2ForCausalLM")]
    [InlineData("Qwen3ForCausalLM")]
    [InlineData("Olmo2ForCausalLM")]
    [InlineData("Phi3ForCausalLM")]
    [InlineData("Starcoder2ForCausalLM")]
    [InlineData("StableLmForCausalLM")]
    [InlineData("MixtralForCausalLM")]
    [InlineData("Qwen2MoeForCausalLM")]
    [InlineData("Qwen3MoeForCausalLM")]
    [InlineData("llama")]
    public void Cache_GivesSameLogits_AsNone(string architecture) => s_cases.Sample((shape, tokens, more, seed) =>
    {
        using LoadedModel model = Load(architecture, shape, seed, out TempFolder folder);
        using var _ = folder;
        using var nothing = no_grad();
        using var scope = NewDisposeScope();
        Tensor ids = TinyModel.Ids(2, tokens + more, seed), mask = ones_like(ids);                              // [2, tokens + more]
        mask[0, ..(tokens / 2)] = 0;
        Tensor whole = TinyModel.Logits(model, ids, mask);                                                      // [2, tokens + more, vocabulary]
        using KeyValueCache cache = model.NewCache();
        List<Tensor> parts = [TinyModel.Logits(model, ids.narrow(1, 0, tokens), mask.narrow(1, 0, tokens), cache)];
        for (int at = tokens; at < tokens + more; at++)
            parts.Add(TinyModel.Logits(model, ids.narrow(1, at, 1), mask.narrow(1, 0, at + 1), cache));
        Assert.Equal(tokens + more, cache.Length);
        Tensor real = mask.to(ScalarType.Bool);
        Assert.True(TinyModel.Difference(cat(parts, 1)[real], whole[real]) <= 1e-4);
    }, iter: 25);

    private static LoadedModel Load(string architecture, int shape, long seed, out TempFolder folder)
    {
        folder = new TempFolder();
        TinyModel.Write(folder, architecture == "gpt2" ? TinyModel.GPT2(heads: shape * 2, layers: shape)
            : architecture == "llama" ? TinyModel.Llama(heads: 4, groups: shape, layers: shape)
            : TinyModel.LikeLlama(architecture, groups: shape, layers: shape), seed);
        return TinyModel.Load(folder.Path);
    }
}
