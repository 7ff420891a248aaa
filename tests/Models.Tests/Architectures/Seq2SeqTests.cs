using Ndif.Models.ForwardSource;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Architectures;

/// <summary>Models with an encoder and a decoder, whose rows have two lengths.</summary>
public sealed class Seq2SeqTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public static TheoryData<string> Models => ["t5", "t5 gated", "mt5", "bart"];

    public void Dispose() => _folder.Dispose();

    /// <summary>Rows with other lengths in encoder and decoder join after some steps, and the first one leaves later.</summary>
    [Theory, MemberData(nameof(Models))]
    public void RowsThatJoin_HaveTheLogitsThatTheyHaveAlone(string name)
    {
        using LoadedModel model = Load(name);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor first = tensor(new long[,] { { 11, 4, 7, 9, 2, 3 } });                                           // [1, seq]
        Tensor second = tensor(new long[,] { { 2, 8, 5 }, { 10, 6, 1 } });                                      // [2, seq]
        using KeyValueCache cache = model.NewCache(), joining = model.NewCache();
        TinyModel.Logits(model, first.narrow(1, 0, 4), cache: cache);
        TinyModel.Logits(model, second.narrow(1, 0, 1), cache: joining);
        cache.Append(joining);
        Tensor mask = tensor(new long[,] { { 1, 1, 1, 1, 1 }, { 0, 0, 0, 1, 1 }, { 0, 0, 0, 1, 1 } });
        Tensor next = cat([first.narrow(1, 4, 1), second.narrow(1, 1, 1)]);                                     // [3, 1]
        Tensor joined = TinyModel.Logits(model, next, mask, cache);                                             // [3, 1, vocab]
        AssertNear(TinyModel.Logits(model, first)[0, 4], joined[0, 0]);
        AssertNear(TinyModel.Logits(model, second)[.., 1], joined.narrow(0, 1, 2)[.., 0]);

        cache.SelectRows([2, 1]);
        cache.SetLength(2);
        Tensor rest = TinyModel.Logits(model, second.flip(0).narrow(1, 2, 1), ones([2, 3], ScalarType.Int64), cache);
        AssertNear(TinyModel.Logits(model, second.flip(0))[.., 2], rest[.., 0]);
    }

    [Theory, MemberData(nameof(Models))]
    public void TheEncoderRunsOnce_AndItsOutputIsGivenToLaterPasses(string name)
    {
        using LoadedModel model = Load(name);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using KeyValueCache cache = model.NewCache();
        var calls = new Recorder();
        var hooks = new SiteHook?[model.Modules.Count];
        hooks[model.Module(model.Root.Names.Encoder)!.Index] = calls;
        hooks[model.Module($"{model.Root.Names.Layers}.0.{model.Root.Names.CrossAttention}")!.Index] = calls;
        using (SiteHook.Register(hooks))
            for (int step = 0; step < 3; step++)
                TinyModel.Logits(model, full([1, 1], 5L, ScalarType.Int64), ones([1, step + 1], ScalarType.Int64), cache);
        Assert.Equal([1, 3],
            calls.Outputs.Where(call => call.What == "output 0").GroupBy(call => call.Module).Select(module => module.Count()));
        Assert.Equal(3, cache.Length);
    }

    /// <summary>The dimensions of every value that a hook can see have the sizes that its axes say.</summary>
    [Theory, MemberData(nameof(Models))]
    public void Axes_AreThoseOfTheValues(string name)
    {
        const long Batch = 3, EncoderSeq = 7;
        using LoadedModel model = Load(name);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using KeyValueCache cache = model.NewCache();
        var hooks = new SiteHook?[model.Modules.Count];
        var calls = new Recorder();
        Array.Fill(hooks, calls);
        foreach (int seqLen in (int[])[5, 1])
        {
            long kvSeqLen = cache.Length + seqLen;
            Tensor text = TinyModel.Ids((int)Batch, (int)EncoderSeq, 3);
            using (SiteHook.Register(hooks))
                model.Root.Call(new(text, ones_like(text), text, cache)
                {
                    DecoderInputIds = TinyModel.Ids((int)Batch, seqLen, 4),
                    DecoderAttentionMask = ones([Batch, kvSeqLen], ScalarType.Int64),
                    EncoderOutput = cache.EncoderOutput()?.HiddenStates,
                });
            foreach (var (module, what, axes, value) in calls.Outputs.Concat(calls.Inputs))
            {
                string site = $"{module.Path} {what} [{string.Join(", ", value.shape)}] {axes}";
                Check(axes.Batch, Batch);
                Check(axes.Seq, axes.IsSeqOfEncoder ? EncoderSeq : seqLen);
                Check(axes.KvSeq, axes.IsKvSeqOfEncoder ? EncoderSeq : kvSeqLen);

                void Check(int dimension, long size)
                {
                    if (dimension >= 0) Assert.True(dimension < value.dim() && value.size(dimension) == size, site);
                }
            }
            calls.Clear();
        }
    }

    [Theory]
    [InlineData("[batch, encoderSeq, hidden]", 0, 1, -1, true, false)]
    [InlineData("[batch, 1, seq, encoderSeq]", 0, 2, 3, false, true)]
    [InlineData("[batch, 1, seq, kvSeq]", 0, 2, 3, false, false)]
    public void AShapeInWords_SaysWhoseTokensTheyAre(string text, int batch, int seq, int kvSeq, bool seqOfEncoder, bool kvSeqOfEncoder) =>
        Assert.Equal(new Axes(batch, seq, kvSeq) { IsSeqOfEncoder = seqOfEncoder, IsKvSeqOfEncoder = kvSeqOfEncoder },
            ShapeParser.ParseAxes(text, 0, Axes.Hidden));

    /// <summary>The operations inside a module have the tokens of the module.</summary>
    [Theory]
    [InlineData("encoder.block.0.layer.0.SelfAttention", true, true)]
    [InlineData("decoder.block.0.layer.0.SelfAttention", false, false)]
    [InlineData("decoder.block.0.layer.1.EncDecAttention", false, true)]
    public void OperationsOfAttention_HaveItsTokens(string path, bool seqOfEncoder, bool kvSeqOfEncoder)
    {
        using LoadedModel model = Load("t5");
        SiteModule module = model.Module(path)!;
        SourceTree tree = SourceTree.Of(module.Source!);
        Axes scores = tree.Sites[tree.IndexOf("attention_interface_0.probs")].OutputAxes(module, 0);
        Assert.Equal(Axes.Attention with { IsSeqOfEncoder = seqOfEncoder, IsKvSeqOfEncoder = kvSeqOfEncoder }, scores);
    }

    /// <remarks>As in transformers 5, where the two of T5 are tied whatever config.json says.</remarks>
    [Fact]
    public void AHeadThatIsMissing_IsTheEmbeddings()
    {
        TinyModel.Write(_folder, TinyConfigs.Of("t5 gated", 2), change: weights => weights.Remove("lm_head.weight"));
        using LoadedModel tied = TinyModel.Load(_folder.Path);
        Assert.Same(tied.Module("shared")!.Parameters[0], tied.Module("lm_head")!.Parameters[0]);
        Assert.True(tied.Config.Flag("tie_word_embeddings"));
        Assert.False(tied.Config.Flag("scale_decoder_outputs")); // the config was that of a model that does not scale
    }

    [Fact]
    public void ABiasOfTheLogitsThatIsMissing_IsZero()
    {
        TinyModel.Write(_folder, TinyConfigs.Of("bart", 2), change: weights => weights.Remove("final_logits_bias"));
        using LoadedModel model = TinyModel.Load(_folder.Path);
        using var scope = NewDisposeScope();
        Assert.True(model.Root.Parameters.Single().Value.Equals(zeros(1, TinyModel.VocabSize)));
    }

    private LoadedModel Load(string name)
    {
        TinyModel.Write(_folder, TinyConfigs.Of(name, 2));
        return TinyModel.Load(_folder.Path);
    }

    private static void AssertNear(Tensor expected, Tensor actual) => Assert.InRange(TinyModel.Difference(expected, actual), 0, 1e-4);

    private sealed class Recorder : SiteHook
    {
        public List<(SiteModule Module, string What, Axes Axes, Tensor Value)> Outputs { get; } = [];

        public List<(SiteModule Module, string What, Axes Axes, Tensor Value)> Inputs { get; } = [];

        public void Clear()
        {
            Outputs.Clear();
            Inputs.Clear();
        }

        public override object? Call(SiteModule module, Arguments arguments)
        {
            foreach (var (i, value) in arguments.Positional.Index()) Add(Inputs, module, $"input {i}", module.InputAxes($"{i}"), value);
            foreach (var (name, value) in arguments.Keywords) Add(Inputs, module, $"input {name}", module.InputAxes(name), value);
            object? result = module.Run(arguments);
            object?[] elements = result switch
            {
                object?[] tuple => tuple, ModelOutput output => [.. output.Entries.Select(entry => entry.Value)], _ => [result],
            };
            foreach (var (i, value) in elements.Index()) Add(Outputs, module, $"output {i}", module.OutputAxes(i), value);
            return result;
        }

        private static void Add(List<(SiteModule, string, Axes, Tensor)> list, SiteModule module, string what, Axes axes, object? value)
        {
            if (value is Tensor tensor) list.Add((module, what, axes, tensor.alias().DetachFromDisposeScope()));
        }
    }
}
