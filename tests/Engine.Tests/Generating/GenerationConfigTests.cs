using System.Text.Json;
using CsCheck;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Tests.Support.Models;

namespace Ndif.Engine.Tests.Generating;

/// <summary>The options of generation_config.json, against <see cref="HuggingFaceGeneration"/>.</summary>
public sealed class GenerationConfigTests : IDisposable
{
    private const int MaxNewTokens = 8;

    private static readonly long[] _prompt = [3, 1, 4, 1, 5];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private float[] Logits(long[] row) =>
        _fixture.Run(row, _ => _fixture.Model.Logits[0, ^1].Save("logits")).AssertCompleted().Tensor("logits").ToArray<float>();

    private long[] Expected(string config, long[] prompt, int maxNewTokens = MaxNewTokens) =>
        new HuggingFaceGeneration(config, Logits).Generate(prompt, maxNewTokens);

    private static Program Record(EngineFixture fixture, object prompt, int? maxNewTokens = MaxNewTokens, GenerationOptions? options = null)
    {
        using Trace trace = fixture.Model.Generate(prompt, maxNewTokens, options);
        trace.Result.Save("ids");
        return trace.ToProgram();
    }

    private static long[] Ids(
        EngineFixture fixture, object prompt, int? maxNewTokens = MaxNewTokens, GenerationOptions? options = null) =>
        fixture.Run(Record(fixture, prompt, maxNewTokens, options))[0].AssertCompleted().Tensor("ids").ToArray<long>();

    private long[] Greedy(string config, long[] prompt, int maxNewTokens = MaxNewTokens, GenerationOptions? options = null)
    {
        using EngineFixture fixture = EngineFixture.WithDefaults(config);
        return Ids(fixture, prompt, maxNewTokens, options);
    }

    /// <summary>The tokens that follow the prompt without options.</summary>
    private long[] Plain => [.. Expected("{}", _prompt).Skip(_prompt.Length)];

    [Fact]
    public void AFileWithoutAnEndOfSequence_EndsNoRow_WhateverTheConfigSays()
    {
        string config = TinyModel.GPT2().Replace("\"eos_token_id\": 0", $"\"eos_token_id\": {Plain[1]}", StringComparison.Ordinal);
        using EngineFixture both = EngineFixture.WithDefaults("{}", config);
        Assert.Equal(Expected("{}", _prompt), Ids(both, _prompt));
        using EngineFixture file = EngineFixture.WithDefaults($$"""{ "eos_token_id": {{Plain[1]}} }""");
        Assert.Equal(Expected("{}", _prompt)[..(_prompt.Length + 2)], Ids(file, _prompt));
    }

    public static TheoryData<string> Options =>
    [
        "suppress", "suppress_out_of_range", "suppress_none", "begin_suppress", "bad_word", "bad_words", "bad_word_eos", "forced_eos",
        "forced_eos_list", "min_length", "encoder_repetition_penalty", "encoder_no_repeat_ngram_size", "sequence_bias",
        "exponential_decay", "remove_invalid_values", "suppress_forced",
    ];

    /// <summary>A file that changes what follows the prompt; p are the tokens without options.</summary>
    private static string File(string option, long[] p) => option switch
    {
        "suppress" => $$"""{ "eos_token_id": 39, "suppress_tokens": [{{p[0]}}, {{p[2]}}] }""",
        "suppress_out_of_range" => $$"""{ "eos_token_id": 39, "suppress_tokens": [-1, 99, {{p[1]}}], "begin_suppress_tokens": [77] }""",
        "suppress_none" => """{ "eos_token_id": 39, "suppress_tokens": [], "begin_suppress_tokens": null }""",
        "begin_suppress" => $$"""{ "eos_token_id": 39, "begin_suppress_tokens": [{{p[0]}}] }""",
        "bad_word" => $$"""{ "eos_token_id": 39, "bad_words_ids": [[{{p[0]}}]] }""",
        "bad_words" => $$"""{ "eos_token_id": 39, "bad_words_ids": [[{{p[0]}}, {{p[1]}}], [4, 1, 5, {{p[0]}}], [9]] }""",
        "bad_word_eos" => $$"""{ "eos_token_id": [{{p[3]}}, 39], "bad_words_ids": [[{{p[3]}}], [{{p[1]}}]] }""",
        "forced_eos" => """{ "eos_token_id": 39, "forced_eos_token_id": 7 }""",
        "forced_eos_list" => """{ "eos_token_id": 39, "forced_eos_token_id": [21, 7, 8] }""",
        "min_length" => $$"""{ "eos_token_id": {{p[1]}}, "min_length": 9 }""",
        "encoder_repetition_penalty" => """{ "eos_token_id": 39, "encoder_repetition_penalty": 9.0 }""",
        "encoder_no_repeat_ngram_size" => """
            { "eos_token_id": 39, "encoder_no_repeat_ngram_size": 1, "sequence_bias": [[[1], 99], [[2], 88]] }
            """,
        "sequence_bias" => $$"""
            { "eos_token_id": 39, "sequence_bias": [[[{{p[0]}}], -9.5], [[5, 12], 30.0], [[12, 13], 9], [[1, 5, 12], 1.5], [[12], 0.25]] }
            """,
        "exponential_decay" => """{ "eos_token_id": 12, "exponential_decay_length_penalty": [2, 8.0] }""",
        "remove_invalid_values" => $$"""{ "eos_token_id": 39, "remove_invalid_values": true, "bad_words_ids": [[{{p[0]}}]] }""",
        _ => """{ "eos_token_id": 39, "suppress_tokens": [7], "forced_eos_token_id": [7, 8] }""",
    };

    [Theory]
    [MemberData(nameof(Options))]
    public void AnOptionOfTheFile_IsApplied_AsInHuggingFace(string option)
    {
        long[] plain = Plain;
        string file = File(option, plain);
        long[] expected = Expected(file, _prompt);
        if (option is not "suppress_none") Assert.NotEqual(plain, expected.Skip(_prompt.Length));
        Assert.Equal(expected, Greedy(file, _prompt));
    }

    [Fact]
    public void AForcedFirstToken_FollowsAPromptOfOneToken_AndDelaysBeginSuppressTokens()
    {
        long[] after = Expected("""{ "eos_token_id": 39, "forced_bos_token_id": 11 }""", [3]);
        Assert.Equal(11, after[1]);
        string file = $$"""{ "eos_token_id": 39, "forced_bos_token_id": 11, "begin_suppress_tokens": [11, {{after[2]}}] }""";
        Assert.Equal(Expected(file, [3]), Greedy(file, [3]));
        Assert.NotEqual(after, Greedy(file, [3]));
        Assert.Equal(Expected(file, _prompt), Greedy(file, _prompt)); // longer prompts begin with no forced token
        // an option of early versions, which generation_config.json files that were made of a config.json have, too
        string early = """
            { "_from_model_config": true, "force_bos_token_to_be_generated": true, "bos_token_id": 11, "eos_token_id": 39 }
            """;
        Assert.Equal(after, Greedy(early, [3]));
    }

    [Fact]
    public void MinLength_CountsThePrompt_AndMinNewTokensTakesPrecedence()
    {
        long end = Plain[1];
        Assert.Equal(_prompt.Length + 2, Greedy($$"""{ "eos_token_id": {{end}}, "min_length": 6 }""", _prompt).Length);
        using EngineFixture fixture =
            EngineFixture.WithDefaults($$"""{ "eos_token_id": {{end}}, "min_new_tokens": 0, "min_length": 12 }""");
        JobOutcome run = fixture.Run(Record(fixture, _prompt))[0].AssertCompleted();
        Assert.Equal(_prompt.Length + 2, run.Tensor("ids").Shape[1]);
        Assert.Contains("`min_new_tokens` takes precedence", Assert.Single(run.Warnings), StringComparison.Ordinal);
    }

    /// <summary>A generation_config.json with any of the options, over a vocabulary of 40 tokens.</summary>
    private static readonly Gen<string> _file =
        Gen.Select(Gen.Int[0, 39].Array[0, 4], Gen.Int[0, 39].Array[1, 3].Array[1, 4], Gen.Int[0, 39], Gen.Double[0.5, 2], Gen.Int[0, 12],
            Gen.Int[0, 1023])
        .Select((ids, words, token, factor, number, flags) =>
        {
            List<string> options = [$"\"eos_token_id\": [{token}, 39]"];
            string list = $"[{string.Join(", ", ids)}]", factorText = JsonSerializer.Serialize(factor);
            Add(0, "suppress_tokens", list);
            Add(1, "begin_suppress_tokens", list);
            Add(2, "bad_words_ids", JsonSerializer.Serialize(words));
            Add(3, "forced_bos_token_id", $"{token}");
            Add(4, "forced_eos_token_id", $"[{(token + 1) % 40}, {(token + 2) % 40}]");
            Add(5, "min_length", $"{number}");
            Add(6, "encoder_repetition_penalty", factorText);
            Add(7, "encoder_no_repeat_ngram_size", $"{1 + number % 3}");
            // sequences are different, as the keys of the dictionary that Hugging Face makes of them
            Add(8, "sequence_bias", $"[{string.Join(", ", words.DistinctBy(w => string.Join(' ', w))
                .Select((w, i) => $"[{JsonSerializer.Serialize(w)}, {(i - 1) * 1.5}]"))}]");
            Add(9, "exponential_decay_length_penalty", $"[{number % 4}, {factorText}]");
            return $"{{ {string.Join(", ", options)} }}";

            void Add(int flag, string name, string value)
            {
                if ((flags & (1 << flag)) != 0) options.Add($"\"{name}\": {value}");
            }
        });

    [Fact]
    public void OptionsTogether_AreThoseOfHuggingFace_AlsoForRowsOfOtherLengths() =>
        Gen.Select(_file, Gen.Long[0, 39].Array[1, 6], Gen.Long[0, 39].Array[1, 6]).Sample((file, prompt, other) =>
        {
            using EngineFixture fixture = EngineFixture.WithDefaults(file);
            JobOutcome[] runs = fixture.Run(Record(fixture, prompt, 6), Record(fixture, other, 4));
            foreach (var (run, of, length) in (ReadOnlySpan<(JobOutcome, long[], int)>)[(runs[0], prompt, 6), (runs[1], other, 4)])
            {
                if (run.Error is { } error) Assert.Contains("No token is left", error.Message, StringComparison.Ordinal);
                else Assert.Equal(Expected(file, of, length), run.Tensor("ids").ToArray<long>());
            }
        }, iter: 60, seed: "0N0XIzNsQ0O2", threads: 1);

    [Fact]
    public void ARequest_ReplacesAListOfTheFile_AndAnEmptyListRemovesIt()
    {
        long[] plain = Plain;
        string file = $$"""
            { "eos_token_id": 39, "suppress_tokens": [{{plain[0]}}], "bad_words_ids": [[{{plain[0]}}]], "sequence_bias": [[[7], 50.0]],
              "forced_eos_token_id": 6, "begin_suppress_tokens": [{{plain[0]}}] }
            """;
        GenerationOptions none = new()
        {
            SuppressTokens = [], BadWordsIds = [], SequenceBias = [], ForcedEosTokenIds = [], BeginSuppressTokens = [],
        };
        Assert.Equal(plain, Greedy(file, _prompt, options: none).Skip(_prompt.Length));
        Assert.Equal(plain, Greedy(file, _prompt, options: new() { UseModelDefaults = false, IgnoreEos = true }).Skip(_prompt.Length));
        string other = $$"""{ "eos_token_id": 39, "suppress_tokens": [{{plain[1]}}] }""";
        Assert.Equal(Expected(other, _prompt), Greedy(file, _prompt, options: none with { SuppressTokens = [(int)plain[1]] }));
    }

    [Fact]
    public void AnEmptyListOfStops_RemovesThoseOfTheFile()
    {
        long[] plain = Plain;
        using EngineFixture fixture = EngineFixture.WithDefaults($$"""{ "eos_token_id": {{plain[1]}} }""");
        Assert.Equal(plain, Ids(fixture, _prompt, options: new() { EosTokenIds = [] }).Skip(_prompt.Length));
        Assert.Equal(plain[..1], Ids(fixture, _prompt, options: new() { EosTokenIds = [(int)plain[0]] }).Skip(_prompt.Length));

        var defaults = new GenerationDefaults(new Generation { Stop = { "a" }, Eos = { 1 } }, null, null);
        GenerationOptions none = new() { StopStrings = [], EosTokenIds = [] };
        Generation removed = defaults.Complete(Request(none));
        Assert.Empty(removed.Stop);
        Assert.True(removed.IgnoreEos);
        Generation again = defaults.Complete(Request(none), Request(new() { StopStrings = ["b"], EosTokenIds = [2] }));
        Assert.Equal(["b"], again.Stop);
        Assert.Equal([2L], again.Eos);
        Assert.False(again.IgnoreEos);
        Assert.Equal(["a"], defaults.Complete(Request(new())).Stop);

        Generation Request(GenerationOptions options) =>
            Record(fixture, _prompt, options: options).Nodes.Single(node => node.Trace is not null).Trace.Generation;
    }

    [Fact]
    public void WithoutAFile_TheOptionsAreThoseOfConfigJson_AlsoOfTheTextModelInIt()
    {
        long[] plain = Plain;
        using EngineFixture outer = EngineFixture.Of(TinyModel.GPT2(more: $$"""
            , "suppress_tokens": [{{plain[0]}}], "max_new_tokens": 3, "repetition_penalty": 1.5, "bad_words_ids": null, "top_k": 50,
              "text_config": { "begin_suppress_tokens": [{{plain[1]}}], "suppress_tokens": [5], "forced_eos_token_id": 6 }
            """));
        Generation options = outer.Model.GenerationDefaults.Options;
        Assert.Equal((plain[0], plain[1], 6, 3u, 1.5),
            (Assert.Single(options.SuppressTokens.Ids), Assert.Single(options.BeginSuppressTokens.Ids),
                Assert.Single(options.ForcedEos.Ids), options.MaxNewTokens, options.RepetitionPenalty));
        string same = $$"""
            { "eos_token_id": 0, "suppress_tokens": [{{plain[0]}}], "begin_suppress_tokens": [{{plain[1]}}], "forced_eos_token_id": 6,
              "repetition_penalty": 1.5 }
            """;
        Assert.Equal(Expected(same, _prompt, 3), Ids(outer, _prompt, null));
        // with a file, the options of config.json are not read
        Assert.Null(Defaults("{ }", ", \"suppress_tokens\": [3]").Options.SuppressTokens);
    }

    private static GenerationDefaults Defaults(string file, string more = "") => GenerationDefaults.FromModel(new ModelDescription
    {
        Id = "tiny", Vocabulary = 40,
        Files =
        {
            ["generation_config.json"] = Google.Protobuf.ByteString.CopyFromUtf8(file),
            ["config.json"] = Google.Protobuf.ByteString.CopyFromUtf8(TinyModel.GPT2(more: more)),
        },
    });

    [Theory]
    [InlineData("""{ "bad_words_ids": [] }""", "bad_words_ids")]
    [InlineData("""{ "bad_words_ids": [[]] }""", "bad_words_ids")]
    [InlineData("""{ "bad_words_ids": [3] }""", "bad_words_ids")]
    [InlineData("""{ "bad_words_ids": [[40]] }""", "bad_words_ids")]
    [InlineData("""{ "bad_words_ids": [[-1, 3]] }""", "bad_words_ids")]
    [InlineData("""{ "suppress_tokens": "all" }""", "suppress_tokens")]
    [InlineData("""{ "suppress_tokens": [1.5] }""", "suppress_tokens")]
    [InlineData("""{ "begin_suppress_tokens": [[1]] }""", "begin_suppress_tokens")]
    [InlineData("""{ "forced_eos_token_id": [] }""", "forced_eos_token_id")]
    [InlineData("""{ "forced_eos_token_id": -1 }""", "forced_eos_token_id")]
    [InlineData("""{ "forced_eos_token_id": 40 }""", "forced_eos_token_id")]
    [InlineData("""{ "forced_bos_token_id": 99 }""", "forced_bos_token_id")]
    [InlineData("""{ "sequence_bias": { "(3,)": 1.0 } }""", "sequence_bias")]
    [InlineData("""{ "sequence_bias": [[[3]]] }""", "sequence_bias")]
    [InlineData("""{ "sequence_bias": [] }""", "sequence_bias")]
    [InlineData("""{ "sequence_bias": [[[41], 1.0]] }""", "sequence_bias")]
    [InlineData("""{ "exponential_decay_length_penalty": [1] }""", "exponential_decay_length_penalty")]
    [InlineData("""{ "exponential_decay_length_penalty": [-1, 2.0] }""", "exponential_decay_length_penalty")]
    [InlineData("""{ "min_length": -2 }""", "min_length")]
    [InlineData("""{ "encoder_repetition_penalty": 0.0 }""", "encoder_repetition_penalty")]
    [InlineData("""{ "do_sample": true, "top_h": 2.0 }""", "top_h")]
    public void AWrongOptionOfTheFile_IsNamed(string file, string option)
    {
        NdifException error = Assert.Throws<CheckpointException>(() => Defaults(file));
        Assert.Equal(ErrorCode.BadCheckpoint, error.Code);
        Assert.Contains($"`{option}`", error.Message, StringComparison.Ordinal);
        Assert.Contains("generation_config.json of `tiny`", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{ "do_sample": true, "temperature": 0.0 }""")]
    [InlineData("""{ "bad_words_ids": [] }""")]
    [InlineData("""{ "early_stopping": "soon" }""")]
    [InlineData("[")]
    public void APlainTrace_NeedsNoOptionOfTheFile(string file)
    {
        using EngineFixture fixture = EngineFixture.WithDefaults(file);
        fixture.Run(_prompt, _ => fixture.Model.Logits.Save("logits")).AssertCompleted();
        Error error = fixture.Run(Record(fixture, _prompt))[0].AssertFailed(ErrorCode.BadCheckpoint);
        Assert.Contains("generation_config.json of", error.Message, StringComparison.Ordinal);
    }

    private static readonly GenerationOptions _greedy = new() { DoSample = false, EosTokenIds = [39] };

    [Theory]
    [InlineData("""{ "do_sample": false, "top_k": -1 }""")]
    [InlineData("""{ "do_sample": true, "temperature": 0.0 }""")]
    [InlineData("""{ "do_sample": true, "top_k": -1, "top_p": 9 }""")]
    public void ASamplingOption_IsCheckedWhereAGenerationSamples(string file) =>
        Assert.Equal(Expected("""{ "eos_token_id": 39 }""", _prompt), Greedy(file, _prompt, options: _greedy));

    [Fact]
    public void ARequest_ReplacesAnOptionThatCannotBeUsed()
    {
        string file = """{ "bad_words_ids": [], "eos_token_id": 39 }""", other = """{ "bad_words_ids": [[7]], "eos_token_id": 39 }""";
        Assert.Equal(Expected(other, _prompt), Greedy(file, _prompt, options: new() { BadWordsIds = [[7]] }));
        using EngineFixture fixture = EngineFixture.WithDefaults("""{ "top_k": -1 }""");
        Error error = fixture.Run(Record(fixture, _prompt, options: new() { TopP = 0.5 }))[0].AssertFailed(ErrorCode.BadArgument);
        Assert.Contains("`top_k`", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ANegativeEndOfSequence_EndsNoRow_WithAWarning()
    {
        long end = Plain[1];
        foreach (var (file, length) in (ReadOnlySpan<(string, int)>)
            [("""{ "eos_token_id": -1, "pad_token_id": -1 }""", MaxNewTokens), ($$"""{ "eos_token_id": [{{end}}, -1] }""", 2)])
        {
            using EngineFixture fixture = EngineFixture.WithDefaults(file);
            JobOutcome run = fixture.Run(Record(fixture, _prompt))[0].AssertCompleted();
            Assert.Equal(_prompt.Length + length, run.Tensor("ids").Shape[1]);
            Assert.Contains("`eos_token_id` to -1", Assert.Single(run.Warnings), StringComparison.Ordinal);
        }
    }

    /// <summary>Python's json writes infinities and NaN as JSON does not.</summary>
    [Fact]
    public void NumbersOfPython_AreRead_InEveryFile()
    {
        long first = Plain[0];
        string config = TinyModel.GPT2(more: """
            , "time_step_limit": [0.0, Infinity], "unused": {"a": NaN, "b": [-Infinity]}, "text": "NaN \" Infinity"
            """);
        using EngineFixture fixture =
            EngineFixture.WithDefaults($$"""{ "eos_token_id": 39, "x": NaN, "sequence_bias": [[[{{first}}], -Infinity]] }""", config);
        string same = $$"""{ "eos_token_id": 39, "bad_words_ids": [[{{first}}]] }""";
        Assert.Equal(Expected(same, _prompt), Ids(fixture, _prompt));
    }
}
