using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Generating;

/// <summary>Rows that are longer than max_position_embeddings.</summary>
public sealed class LongRowTests
{
    [Theory]
    [InlineData("LlamaForCausalLM")]
    [InlineData("Phi3ForCausalLM")]
    [InlineData("FalconForCausalLM")]
    [InlineData("BloomForCausalLM")]
    public void WithoutATableOfPositions_TheyRun_AndTheModelWarnsOnce(string architecture)
    {
        using EngineFixture fixture = Open(architecture);
        int[] prompt = [.. Enumerable.Range(0, 16).Select(i => i % 7)];
        TensorData whole = Logits(fixture.Run(prompt, _ => fixture.Model.Logits.Save("logits")));
        Assert.Equal([1, 16, 40], whole.Shape.ToArray());
        TensorData start = Logits(fixture.Run(prompt[..8], _ => fixture.Model.Logits.Save("logits")));
        // no frequency depends on the length, so the first tokens give the same
        Assert.Equal(start.ToArray<float>(), whole.ToArray<float>()[..(8 * 40)], (a, b) => Math.Abs(a - b) < 1e-4);
        long[] ids = fixture.Run(prompt[..10], 6, t => t.Result.Save("ids")).AssertCompleted().Tensor("ids").ToArray<long>();
        Assert.InRange(ids.Length, 11, 16); // the generation may end early
        Assert.Contains("the model's context is 12 tokens", Assert.Single(fixture.Warnings), StringComparison.Ordinal);

        static TensorData Logits(JobOutcome outcome) => outcome.AssertCompleted().Tensor("logits");
    }

    [Theory]
    [InlineData("GPT2LMHeadModel")]
    [InlineData("GPTNeoForCausalLM")]
    [InlineData("GPTJForCausalLM")]
    [InlineData("OPTForCausalLM")]
    public void WithATableOfPositions_TheyAreRefused(string architecture)
    {
        using EngineFixture fixture = Open(architecture);
        fixture.Run(new int[12], _ => fixture.Model.Logits.Save("logits")).AssertCompleted();
        Error error = fixture.Run(new int[13], _ => fixture.Model.Logits.Save("logits")).Error!;
        Assert.Equal(ErrorCode.BadInput, error.Code);
        Assert.Contains("A row has 13 tokens; the model's context is 12 tokens, and it has no position after them", error.Message,
            StringComparison.Ordinal);
        Assert.Empty(fixture.Warnings);
    }

    private static EngineFixture Open(string architecture) => EngineFixture.Of(TinyModel.LikeLlama(architecture, kvHeads: 4, layers: 2)
        .Replace("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 12", StringComparison.Ordinal).Trim()[..^1] + """
        , "n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": 24, "n_positions": 12, "seq_length": 12, "rotary_dim": 2, "num_layers": 2,
          "num_heads": 4, "attention_layers": ["global", "local"], "ffn_dim": 24, "word_embed_proj_dim": 16 }
        """);
}
