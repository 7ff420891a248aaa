using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Generating;

/// <summary>
/// Options of generation_config.json that change which tokens are chosen and that are not applied: they are never passed over in silence.
/// </summary>
public sealed class UnappliedOptionTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4, 1, 5];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private static Program Record(EngineFixture fixture, int? maxNewTokens = 8, GenerationOptions? options = null)
    {
        using Trace trace = fixture.Model.Generate(_prompt, maxNewTokens, options);
        trace.Result.Save("ids");
        return trace.ToProgram();
    }

    private static long[] Ids(EngineFixture fixture, GenerationOptions? options = null) =>
        fixture.Run(Record(fixture, options: options))[0].AssertCompleted().Tensor("ids").ToArray<long>();

    [Theory]
    [InlineData("""{ "constraints": [] }""", "constraints")]
    [InlineData("""{ "force_words_ids": [[1]] }""", "force_words_ids")]
    [InlineData("""{ "penalty_alpha": 0.6, "top_k": 4 }""", "penalty_alpha")]
    [InlineData("""{ "penalty_alpha": 0.6 }""", "penalty_alpha")]
    [InlineData("""{ "num_beams": 4, "num_beam_groups": 2 }""", "num_beam_groups")]
    [InlineData("""{ "dola_layers": "low" }""", "dola_layers")]
    [InlineData("""{ "guidance_scale": 1.5 }""", "guidance_scale")]
    [InlineData("""{ "watermarking_config": { "bias": 2.0 } }""", "watermarking_config")]
    [InlineData("""{ "token_healing": true }""", "token_healing")]
    [InlineData("""{ "is_assistant": true }""", "is_assistant")]
    public void AnOptionThatIsNotApplied_RefusesTheGenerationsThatItWouldChange(string file, string option)
    {
        using EngineFixture fixture = EngineFixture.WithDefaults(file);
        Error error = fixture.Run(Record(fixture))[0].AssertFailed(ErrorCode.Unsupported);
        Assert.Contains($"`{option}`", error.Message, StringComparison.Ordinal);
        Assert.Contains("UseModelDefaults", error.Hint, StringComparison.Ordinal);
        Assert.Equal(Ids(_fixture), Ids(fixture, new() { UseModelDefaults = false }));
    }

    [Theory]
    [InlineData("""{ "constraints": null, "force_words_ids": null, "watermarking_config": null, "guidance_scale": 1.0 }""")]
    [InlineData("""{ "penalty_alpha": 0.0, "num_beam_groups": 1, "diversity_penalty": 0.5, "token_healing": false, "low_memory": true }""")]
    [InlineData("""{ "penalty_alpha": 0.6, "top_k": 1, "num_beam_groups": 2, "use_cache": false, "prompt_lookup_num_tokens": 3 }""")]
    [InlineData("""{ "output_scores": true, "cache_implementation": "static", "max_new_tokens": 8, "max_length": 100 }""")]
    [InlineData("""{ "min_length": 0, "sequence_bias": null, "bad_words_ids": null, "epsilon_cutoff": 0.0, "eta_cutoff": 0.5 }""")]
    [InlineData("""{ "renormalize_logits": true, "remove_invalid_values": false, "top_h": null, "transformers_version": "5.12.1" }""")]
    public void OptionsThatChangeNothing_AreNoErrorAndNoWarning(string file)
    {
        using EngineFixture fixture = EngineFixture.WithDefaults(file);
        JobOutcome run = fixture.Run(Record(fixture))[0].AssertCompleted();
        Assert.Empty(run.Warnings);
        Assert.Equal(Ids(_fixture), run.Tensor("ids").ToArray<long>());
    }

    [Theory]
    [InlineData("""{ "max_length": 30 }""", "max_length", null)]
    [InlineData("""{ "max_time": 2.5 }""", "max_time", 4)]
    [InlineData("""{ "cache_implementation": "quantized" }""", "cache_implementation", 4)]
    public void ALimitThatIsNotApplied_IsAWarning(string file, string option, int? maxNewTokens)
    {
        using EngineFixture fixture = EngineFixture.WithDefaults(file);
        JobOutcome run = fixture.Run(Record(fixture, maxNewTokens))[0].AssertCompleted();
        Assert.Contains($"`{option}`", Assert.Single(run.Warnings), StringComparison.Ordinal);
        Assert.Empty(fixture.Run(Record(fixture, 4, new() { UseModelDefaults = false }))[0].AssertCompleted().Warnings);
    }
}
