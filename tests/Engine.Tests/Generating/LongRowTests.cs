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

    /// <summary>As in Hugging Face, a limit that a row does not reach is none.</summary>
    [Theory]
    [InlineData("GPT2LMHeadModel")]
    [InlineData("GPTNeoForCausalLM")]
    [InlineData("GPTJForCausalLM")]
    [InlineData("OPTForCausalLM")]
    public void AGenerationRuns_UntilARowNeedsAPositionAfterTheLast(string architecture)
    {
        using EngineFixture fixture = Open(architecture);
        int[] prompt = [.. Enumerable.Range(3, 10)];
        long[] whole = Generate(3, new()).AssertCompleted().Tensor("ids").ToArray<long>(); // the last token has no pass of its own
        Assert.Equal(13, whole.Length);
        int end = (int)whole.Skip(10).First(id => id != whole[10] || id == whole[^1]);
        long[] ended = Generate(50, new() { EosTokenIds = [end] }).AssertCompleted().Tensor("ids").ToArray<long>();
        Assert.Equal(whole[..ended.Length], ended);
        Assert.Equal(end, ended[^1]);

        JobOutcome failed = Generate(50, new());
        Assert.Equal(ErrorCode.IndexOutOfRange, failed.Error!.Code);
        Assert.Contains("Step 3 of the generation needs position 12", failed.Error.Message, StringComparison.Ordinal);
        Assert.Contains("has 12 positions, 0 to 11", failed.Error.Message, StringComparison.Ordinal);
        Assert.Contains("at most 3 new tokens", failed.Error.Hint, StringComparison.Ordinal);
        Assert.Equal([1, 10, 16], failed.Tensor("first").Shape.ToArray()); // what was saved before stays

        JobOutcome Generate(int tokens, GenerationOptions options) => fixture.Run(fixture.RecordIn(
            fixture.Model.Generate(prompt, tokens, options with { IgnoreEos = options.EosTokenIds is null ? true : null }), t =>
            {
                fixture.Model.Layers[0].Hidden.Save("first");
                t.Result.Save("ids");
            }))[0];
    }

    /// <summary>A row that has ended stays in the pass while others continue; it fails none, and jobs beside a failing one go on.</summary>
    [Fact]
    public void RowsBesideOneAtTheLimit_GoOn()
    {
        using EngineFixture fixture = Open("GPT2LMHeadModel");
        int[] full = [.. Enumerable.Range(3, 12)], shorter = [5, 6, 7];
        long[] alone = fixture.Run(Record((shorter, 8, "ids"))).Single().AssertCompleted().Tensor("ids").ToArray<long>();
        Program ended = Record((full, 1, "full"), (shorter, 8, "ids"));
        JobOutcome outcome = fixture.Run(ended)[0].AssertCompleted();
        Assert.Equal(13, outcome.Tensor("full").Shape[1]);
        Assert.Equal(alone, outcome.Tensor("ids").ToArray<long>());
        JobOutcome[] jobs = fixture.Run(Record((full, 5, "full")), Record((shorter, 8, "ids")));
        Assert.Contains("Step 1 of the generation needs position 12", jobs[0].Error!.Message, StringComparison.Ordinal);
        Assert.Equal(alone, jobs[1].AssertCompleted().Tensor("ids").ToArray<long>());

        Program Record(params (int[] Prompt, int Tokens, string Name)[] invokes) => fixture.RecordIn(
            fixture.Model.Generate(options: new() { IgnoreEos = true }), t =>
            {
                foreach (var (prompt, tokens, name) in invokes)
                    using (t.Invoke(prompt, new GenerationOptions { MaxNewTokens = tokens })) t.Result.Save(name);
            });
    }

    private static EngineFixture Open(string architecture) => EngineFixture.Of(TinyModel.LikeLlama(architecture, kvHeads: 4, layers: 2)
        .Replace("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 12", StringComparison.Ordinal).Trim()[..^1] + """
        , "n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": 24, "n_positions": 12, "seq_length": 12, "rotary_dim": 2, "num_layers": 2,
          "num_heads": 4, "attention_layers": ["global", "local"], "ffn_dim": 24, "word_embed_proj_dim": 16 }
        """);
}
