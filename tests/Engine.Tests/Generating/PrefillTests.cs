using Ndif.Engine.HookedModels;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Generating;

public sealed class PrefillTests : IDisposable
{
    private static readonly int[] _long = [.. Enumerable.Range(0, 23).Select(i => i * 7 % 40)], _short = [9, 2];

    private readonly EngineFixture _fixture = EngineFixture.Llama();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private Program Record(Action<Trace>? more = null)
    {
        using Trace t = Model.Generate(maxNewTokens: 6, options: new() { IgnoreEos = true });
        using (t.Invoke(_long)) t.Result.Save("long");
        using (t.Invoke(_short, new() { Temperature = 1, Seed = 4 })) t.Result.Save("short");
        more?.Invoke(t);
        return t.ToProgram();
    }

    private JobOutcome Run(Program program, int chunk)
    {
        using var subject = new HookedLanguageModel(TinyModel.Load(_fixture.Path)) { PrefillChunkSize = chunk };
        return EngineFixture.Run(subject, (program, new JobOutcome(), CancellationToken.None))[0].AssertCompleted();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(22)]
    [InlineData(23)]
    public void PromptsInChunks_GiveTheSameTokens(int chunk)
    {
        JobOutcome whole = Run(Record(), 0), parts = Run(Record(), chunk);
        foreach (string name in whole.Names) Assert.Equal(whole.Tensor(name).ToArray<long>(), parts.Tensor(name).ToArray<long>());
    }

    [Fact]
    public void APromptWithASite_IsSeenWhole()
    {
        void Sites(Trace t)
        {
            using (t.Invoke()) Model.Layers[0].Hidden.Save("hidden");
        }
        TensorAssert.Same(Run(Record(Sites), 0).Tensor("hidden"), Run(Record(Sites), 4).Tensor("hidden"));
    }

    [Fact]
    public void TheStreamer_DoesNotHinderIt()
    {
        void Tokens(Trace t)
        {
            using (t.Invoke())
                foreach (int step in t.Iter[..3]) Model.Generator.Streamer.Output.Save($"{step}");
        }
        JobOutcome whole = Run(Record(Tokens), 0), parts = Run(Record(Tokens), 5);
        foreach (string name in whole.Names) TensorAssert.Same(whole.Tensor(name), parts.Tensor(name));
    }

    [Fact]
    public void AWindowedModelsCache_GivesWhatPassesWithoutOneGive()
    {
        // a sliding window of 5: the last tokens do not attend to the prompt
        using EngineFixture rig = EngineFixture.Of(TinyModel.LikeLlama("MistralForCausalLM", 2, 2));
        foreach (int[] prompt in (int[][])[_long, _short])
        {
            List<int> ids = [.. prompt];
            for (int step = 0; step < 12; step++)
                ids.Add((int)TensorAssert.ArgMax(rig.Run(ids.ToArray(), _ => rig.Model.LmHead.Output.Save("logits")).AssertCompleted()
                    .Tensor("logits"))[0]);
            using Trace t = rig.Model.Generate(maxNewTokens: 12, options: new() { IgnoreEos = true });
            using (t.Invoke(prompt)) t.Result.Save("ids");
            using (t.Invoke((int[])[.. prompt, .. prompt])) t.Result.Save("other");
            Assert.Equal(ids.Select(id => (long)id), rig.Run(t.ToProgram())[0].AssertCompleted().Tensor("ids").ToArray<long>());
        }
    }
}
