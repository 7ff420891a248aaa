using Ndif.Engine.Tests.Features;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Generating;

/// <summary>Token events and the site of the streamer.</summary>
public sealed class StreamingTests : IDisposable
{
    private const string Prompt = "The Eiffel Tower is in"; // the model continues with " the middle of Paris."
    private static readonly int[] _prompt = [3, 1, 4], _other = [9, 2, 6, 5, 3];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Backends.All), MemberType = typeof(Backends))]
    public async Task Tokens_ComeOneByOne_AndTheirTextIsTheResults(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Generate(Prompt, 5);
        List<GeneratedToken> tokens = [];
        List<string> order = [];
        t.OnToken = token =>
        {
            tokens.Add(token);
            order.Add(token.Text);
        };
        t.OnLog = order.Add;
        foreach (int step in t.Iter[2]) t.Log("at", llm.Layers[0].Hidden.Shape[1]);
        Saved ids = t.Result.Save();
        await t.RunAsync(Cancellation);
        Assert.Equal([" the", " middle", "at 1", " of", " Paris", "."], order);
        Assert.Equal(ids.ToArray<long>()[^5..], tokens.Select(token => token.Id));
        Assert.Equal(Enumerable.Range(0, 5).Select(step => (0, 0, step, step == 4)),
            tokens.Select(token => (token.Invoke, token.Row, token.Step, token.IsLast)));
    }

    [Fact]
    public async Task PromptAndPieces_AreTheText_OfManyDrawnRows()
    {
        LanguageModel llm = Backends.Model("local");
        string[] prompts = ["The", "Big Ben is in", "Ünïcode 🗼 中", "x"];
        using Trace t = llm.Generate(maxNewTokens: 30, options: new() { Temperature = 5, TopK = 0, Seed = 1 });
        List<GeneratedToken> tokens = [];
        t.OnToken = tokens.Add;
        List<Saved> results = [];
        foreach (string prompt in prompts)
            using (t.Invoke(prompt)) results.Add(t.Result.Save());
        await t.RunAsync(Cancellation);
        for (int i = 0; i < prompts.Length; i++)
        {
            string pieces = string.Concat(tokens.Where(token => token.Invoke == i).Select(token => token.Text));
            int count = tokens.Count(token => token.Invoke == i);
            int[] ids = results[i].ToArray<int>();
            int[] own = [.. ids.Take(llm.Tokenizer.Encode(prompts[i]).Count + count)];
            Assert.Equal(llm.Tokenizer.Decode(own, skipSpecialTokens: true), prompts[i] + pieces);
            Assert.True(tokens.Last(token => token.Invoke == i).IsLast);
        }
    }

    [Fact]
    public void RowsAndInvokes_AreNumbered_AndWhatFollowsARowsEndIsNotTold()
    {
        Program program = Record(Model.Generate(maxNewTokens: 4, options: new() { IgnoreEos = true, Stream = true }), t =>
        {
            using (t.Invoke(new[] { _prompt, _other }, new() { MaxNewTokens = 2 })) { }
            using (t.Invoke()) { }
            using (t.Invoke(_other)) { }
        });
        JobOutcome run = _fixture.Run(program)[0].AssertCompleted();
        Assert.Equal(["0.0.0", "0.0.1", "0.1.0", "0.1.1", "1.0.0", "1.0.1", "1.0.2", "1.0.3"],
            run.NewTokens.Select(t => $"{t.Invoke}.{t.Row}.{t.Step}").Order(StringComparer.Ordinal));
        Assert.Equal(3, run.NewTokens.Count(t => t.Last));
    }

    [Fact]
    public void WithoutBeingAskedFor_TokensAreNotTold() => Assert.Empty(_fixture.Run(_prompt, 3, _ => { }).AssertCompleted().NewTokens);

    [Fact]
    public void AStream_GoesOn_WhenAnotherJobFails()
    {
        Program stream = Record(Model.Generate(_prompt, 6, new() { IgnoreEos = true, Stream = true }), _ => { }),
            bad = Record(Model.Generate(_other, 6, new() { IgnoreEos = true }), t =>
        {
            foreach (int step in t.Iter[1]) _ = Model.Logits[0, 99];
        });
        JobOutcome[] outcomes = _fixture.Run(stream, bad);
        outcomes[1].AssertFailed(ErrorCode.IndexOutOfRange);
        Assert.Equal(6, outcomes[0].AssertCompleted().NewTokens.Count);
    }

    [Fact]
    public async Task TracesOfASession_AreToldApart()
    {
        using Session session = Model.Session(Backend.Loopback);
        List<int> first = [], second = [];
        using (Trace t = Model.Generate(_prompt, 3, new() { IgnoreEos = true })) t.OnToken = token => first.Add(token.Step);
        using (Trace t = Model.Generate(_other, 2, new() { IgnoreEos = true })) t.OnToken = token => second.Add(token.Step);
        await session.RunAsync(Cancellation);
        Assert.Equal([0, 1, 2], first);
        Assert.Equal([0, 1], second);
    }

    [Fact]
    public void TheStreamer_ShowsThePrompt_AndThenEachToken()
    {
        JobOutcome run = _fixture.Run(Record(Model.Generate(maxNewTokens: 3, options: new() { IgnoreEos = true }), t =>
        {
            using (t.Invoke(_prompt))
            {
                foreach (int step in t.Iter[0..4]) Model.Generator.Streamer.Output.Save($"a{step}");
                t.Result.Save("ids");
            }
            using (t.Invoke(_other)) Model.Generator.Streamer.Output.Save("b0");
        }))[0].AssertCompleted();
        Assert.Equal([1, 3], run.Tensor("a0").Shape.ToArray());
        Assert.Equal([3L, 1, 4], run.Tensor("a0").ToArray<long>());
        Assert.Equal(_other.Select(i => (long)i), run.Tensor("b0").ToArray<long>());
        Assert.Equal([1], run.Tensor("a1").Shape.ToArray());
        Assert.Equal(run.Tensor("ids").ToArray<long>()[3..],
            Enumerable.Range(1, 3).Select(step => run.Tensor($"a{step}").ToArray<long>()[0]));
    }

    [Fact]
    public void TheStreamer_BeforeAndInAnIteration_AsInNnsight()
    {
        JobOutcome run = _fixture.Run(_prompt, 3, t =>
        {
            Model.Generator.Streamer.Output.Save("prompt");
            ValueList tokens = t.List();
            foreach (int step in t.Iter[..]) tokens.Append(Model["generator.streamer"].Output);
            tokens.Save("tokens");
        }).AssertCompleted();
        Assert.Equal(3, run.Tensors("tokens").Length);
        TensorAssert.Same(run.Tensor("prompt"), run.Tensors("tokens")[0]);
    }

    [Fact]
    public void ATokenThatIsPutThere_IsWhatTheRowGoesOnWith()
    {
        Program Forced(bool inPlace) => Record(Model.Generate(maxNewTokens: 4, options: new() { IgnoreEos = true }), t =>
        {
            using (t.Invoke(_prompt))
            {
                foreach (int step in t.Iter[2])
                {
                    if (inPlace) Model.Generator.Streamer.Output[..] = 17;
                    else Model.Generator.Streamer.Output = 17;
                }
                t.Result.Save("forced");
                }
            using (t.Invoke(_other)) t.Result.Save("other");
        });
        foreach (bool inPlace in (bool[])[true, false])
        {
            JobOutcome run = _fixture.Run(Forced(inPlace))[0].AssertCompleted();
            long[] plain = Ids(_prompt, 4), forced = run.Tensor("forced").ToArray<long>();
            Assert.Equal([.. plain[..4], 17L], forced[..5]);
            Assert.Equal(Ids([.. forced[..5].Select(i => (int)i)], 2), forced);
            Assert.Equal(Ids(_other, 4), run.Tensor("other").ToArray<long>());
        }
    }

    [Theory]
    [InlineData("prompt", ErrorCode.BadArgument)]
    [InlineData("vocabulary", ErrorCode.BadInput)]
    [InlineData("beams", ErrorCode.Unsupported)]
    [InlineData("shape", ErrorCode.ShapeMismatch)]
    public void WhatCannotBePutThere_EndsTheJob(string what, ErrorCode code)
    {
        Program program = Record(Model.Generate(_prompt, 4, new() { NumBeams = what == "beams" ? 2 : 1 }), t =>
        {
            foreach (int step in t.Iter[what == "prompt" ? 0 : 1])
                Model.Generator.Streamer.Output =
                    what switch { "vocabulary" => 4_000, "shape" => TensorData.FromArray([1L, 2, 3]), _ => 5 };
        });
        JobOutcome[] outcomes =
            _fixture.Run(program, Record(Model.Generate(_other, 4, new() { IgnoreEos = true }), t => t.Result.Save("ids")));
        Assert.NotNull(outcomes[0].AssertFailed(code).Line);
        Assert.Equal(Ids(_other, 4), outcomes[1].AssertCompleted().Tensor("ids").ToArray<long>());
    }

    [Fact]
    public void TheGeneratorsOutput_IsTheResult_AndNothingElseIsThere()
    {
        JobOutcome run = _fixture.Run(_prompt, 3, t =>
        {
            Model.Generator.Output.Save("output");
            t.Result.Save("result");
        }).AssertCompleted();
        TensorAssert.Same(run.Tensor("result"), run.Tensor("output"));
        Assert.Throws<BadProgramException>(() => _fixture.Run(_prompt, 3, _ => Model.Generator.Output = 3));
        Assert.Throws<BadProgramException>(() => _fixture.Run(_prompt, 3, _ => Model.Generator.Input.Save()));
        Assert.Throws<BadProgramException>(() => _fixture.Run(_prompt, 3, _ => Model.Generator.Skip(3)));
        Assert.Throws<BadProgramException>(() => _fixture.Run(_prompt, _ => Model.Generator.Streamer.Output.Save()));
    }

    [Fact]
    public void TheTree_ShowsTheGeneratorAsNnsightDoes()
    {
        Assert.EndsWith("\n  (generator): Generator(\n    (streamer): Streamer()\n  )\n)", Model.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("generator", Model.Layers.ToString(), StringComparison.Ordinal);
    }

    private long[] Ids(int[] prompt, int tokens) =>
        _fixture.Run(Record(Model.Generate(prompt, tokens, new() { IgnoreEos = true }), t => t.Result.Save("ids")))[0].AssertCompleted()
        .Tensor("ids").ToArray<long>();

    private static Program Record(Trace trace, Action<Trace> experiment)
    {
        using (trace)
        {
            experiment(trace);
            return trace.ToProgram();
        }
    }
}
