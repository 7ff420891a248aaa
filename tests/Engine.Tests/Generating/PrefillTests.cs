using Ndif.Engine.Subjects;
using Ndif.Models.Tests;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Generating;

public sealed class PrefillTests : IDisposable
{
    private static readonly int[] s_long = [.. Enumerable.Range(0, 23).Select(i => i * 7 % 40)], s_short = [9, 2];

    private readonly Rig _rig = Rig.Llama();

    public void Dispose() => _rig.Dispose();

    private LanguageModel Model => _rig.Model;

    private Program Record(Action<Trace>? more = null)
    {
        using Trace t = Model.Generate(maxNewTokens: 6, ignoreEos: true);
        using (t.Invoke(s_long)) t.Result.Save("long");
        using (t.Invoke(s_short, temperature: 1, seed: 4)) t.Result.Save("short");
        more?.Invoke(t);
        return t.ToProgram();
    }

    private Outcome Run(Program program, int chunk)
    {
        using var subject = new LanguageSubject(TinyModel.Load(_rig.Path)) { PrefillChunk = chunk };
        return Rig.Run(subject, (program, new Outcome(), CancellationToken.None))[0].Good();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(22)]
    [InlineData(23)]
    public void PromptsInChunks_GiveTheSameTokens(int chunk)
    {
        Outcome whole = Run(Record(), 0), parts = Run(Record(), chunk);
        foreach (string name in whole.Names) Assert.Equal(whole.Tensor(name).ToArray<long>(), parts.Tensor(name).ToArray<long>());
    }

    [Fact]
    public void APromptWithASite_IsSeenWhole()
    {
        void Sites(Trace t)
        {
            using (t.Invoke()) Model.Layers[0].Hidden.Save("hidden");
        }
        Near.Same(Run(Record(Sites), 0).Tensor("hidden"), Run(Record(Sites), 4).Tensor("hidden"));
    }

    [Fact]
    public void TheStreamer_DoesNotHinderIt()
    {
        void Tokens(Trace t)
        {
            using (t.Invoke())
                foreach (int step in t.Iter[..3]) Model.Generator.Streamer.Output.Save($"{step}");
        }
        Outcome whole = Run(Record(Tokens), 0), parts = Run(Record(Tokens), 5);
        foreach (string name in whole.Names) Near.Same(whole.Tensor(name), parts.Tensor(name));
    }

    [Fact]
    public void AWindowedModelsCache_GivesWhatPassesWithoutOneGive()
    {
        // a window of 5: the last tokens see nothing of the prompt any more
        using Rig rig = Rig.Of(TinyModel.LikeLlama("MistralForCausalLM", 2, 2));
        foreach (int[] prompt in (int[][])[s_long, s_short])
        {
            List<int> ids = [.. prompt];
            for (int step = 0; step < 12; step++) ids.Add((int)Near.Top(rig.Run(ids.ToArray(), _ => rig.Model.LmHead.Output.Save("logits")).Good().Tensor("logits"))[0]);
            using Trace t = rig.Model.Generate(maxNewTokens: 12, ignoreEos: true);
            using (t.Invoke(prompt)) t.Result.Save("ids");
            using (t.Invoke((int[])[.. prompt, .. prompt])) t.Result.Save("other");
            Assert.Equal(ids.Select(id => (long)id), rig.Run(t.ToProgram())[0].Good().Tensor("ids").ToArray<long>());
        }
    }
}
