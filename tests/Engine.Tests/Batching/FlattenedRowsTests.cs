using CsCheck;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Batching;

/// <summary>
/// Where a model flattens batch and tokens to one dimension (experts, the MLP of OPT), an invoke reads and edits the tokens of its own
/// rows as it does alone, even if the padding of others is between them.
/// </summary>
public sealed class FlattenedRowsTests
{
    /// <summary>
    /// Seed, prompts of one invoke (of equal length, because values at the user's own padding are not comparable), a prompt of another.
    /// </summary>
    private static readonly Gen<(int, int[][], int[])> _case = Gen.Select(Gen.Int[1, 1000],
        Gen.Int[1, 5].SelectMany(length => Gen.Int[0, 39].Array[length].Array[2, 3]), Gen.Int[0, 39].Array[1, 9]);

    private static readonly int[] _long = [1, 2, 3, 4, 5, 6, 7], _short = [8, 9];
    private static readonly int[][] _two = [[5, 6, 7], [8, 9, 2]];

    /// <summary>A model and its sites that are [batch · seq, ...].</summary>
    public static TheoryData<string, string[]> Sites => new()
    {
        { "MixtralForCausalLM", ["model.layers.0.mlp.experts", "model.layers.1.mlp.gate"] },
        { "Qwen2MoeForCausalLM",
            ["model.layers.0.mlp.shared_expert.down_proj", "model.layers.0.mlp.experts", "model.layers.1.mlp.shared_expert_gate"] },
        { "Qwen3MoeForCausalLM", ["model.layers.0.mlp.gate", "model.layers.1.mlp.experts"] },
        { "opt",
            ["model.decoder.layers.0.fc1", "model.decoder.layers.0.fc2", "model.decoder.layers.1.activation_fn",
                "model.decoder.layers.1.fc2"] },
    };

    private static EngineFixture New(string name, int seed) =>
        EngineFixture.Of(name == "opt" ? TinyConfigs.Of("opt", 2) : TinyModel.LikeLlama(name, kvHeads: 2, layers: 2), seed);

    [Theory]
    [MemberData(nameof(Sites))]
    public void EditsOfBatchedRows_DoWhatTheyDoAlone(string name, string[] sites) => _case.Sample((seed, prompts, other) =>
    {
        using EngineFixture fixture = New(name, seed);
        JobOutcome alone = fixture.Run(Edits(fixture, prompts, sites))[0].AssertCompleted();
        JobOutcome[] both = fixture.Run(fixture.Record(other, _ => fixture.Model.Logits.Save("logits")), Edits(fixture, prompts, sites));
        AssertSame(alone, both[1].AssertCompleted(), "");
        JobOutcome quiet = fixture.Run(other, _ => fixture.Model.Logits.Save("logits")).AssertCompleted();
        TensorAssert.Equal(quiet.Tensor("logits"), both[0].AssertCompleted().Tensor("logits"));
        JobOutcome invokes = fixture.Run(fixture.Record(null, t =>
        {
            using (t.Invoke(other)) fixture.Model.Logits.Save("logits");
            using (t.Invoke(prompts)) Edit(fixture, sites);
        }))[0].AssertCompleted();
        AssertSame(alone, invokes, "edited");
        TensorAssert.Equal(quiet.Tensor("logits"), invokes.Tensor("logits"));
    }, iter: 12, threads: 1);

    [Theory]
    [InlineData("MixtralForCausalLM", "model.layers.0.mlp.experts")]
    [InlineData("opt", "model.decoder.layers.1.activation_fn")]
    public void ReplacedAndSkippedRows_AreTheOnesGiven(string name, string site)
    {
        using EngineFixture fixture = New(name, 3);
        foreach (bool skipped in (bool[])[false, true])
        {
            Program Change(object prompt) => fixture.Record(prompt, _ =>
            {
                Envoy module = fixture.Model[site];
                if (skipped) module.Skip(module.Input * 0.5);
                else module.Output = module.Output * -1;
                fixture.Model.Logits.Save("edited");
            });
            AssertSame(fixture.Run(Change(_two))[0].AssertCompleted(),
                fixture.Run(Change(_two), fixture.Record(_long, _ => fixture.Model.Logits.Save("logits")))[0].AssertCompleted(), "edited");
            // both skip the module, so that it runs for no row
            AssertSame(fixture.Run(Change(_two))[0].AssertCompleted(), fixture.Run(Change(_two), Change(_long))[0].AssertCompleted(),
                "edited");
        }
    }

    [Fact]
    public void AnotherInvokeOfTheSameRows_SeesTheEdit()
    {
        using EngineFixture fixture = New("opt", 4);
        JobOutcome outcome = fixture.Run(fixture.Record(null, t =>
        {
            using (t.Invoke(_long)) fixture.Model.Logits.Save("other");
            using (t.Invoke(_two)) fixture.Model["model.decoder.layers.0.fc1"].Output[1] = 0;
            using (t.Invoke()) fixture.Model["model.decoder.layers.0.fc1"].Output.Save("all");
        }))[0].AssertCompleted();
        TensorData all = outcome.Tensor("all"); // [3 batch · 7 seq, intermediate]; the edited token is the second row's sixth
        Assert.Equal(21, all.Shape[0]);
        for (int token = 0; token < 21; token++)
            Assert.Equal(token == 7 + 5, all[token].ToArray<float>().All(x => x == 0));
    }

    [Fact]
    public void GradientOfBatchedRows_IsThatAlone()
    {
        using EngineFixture fixture = New("opt", 5);
        JobOutcome alone = Run(t => Backward(t)).AssertCompleted(), both = Run(t =>
        {
            using (t.Invoke(_long)) fixture.Model.Logits.Save("other");
            using (t.Invoke(_two)) Backward(t, invoke: false);
        }).AssertCompleted();
        TensorAssert.Equal(alone.Tensor("gradient"), both.Tensor("gradient"));
        Assert.Contains(alone.Tensor("gradient").ToArray<float>(), g => Math.Abs(g) > 1e-3);

        JobOutcome Run(Action<Trace> experiment)
        {
            using Trace trace = fixture.Model.Trace(grad: true);
            experiment(trace);
            return fixture.Run(trace.ToProgram())[0];
        }

        void Backward(Trace t, bool invoke = true)
        {
            using IDisposable? own = invoke ? t.Invoke(_two) : null;
            Value inner = fixture.Model["model.decoder.layers.0.fc1"].Output;
            inner[1] *= 2;
            Value logits = fixture.Model.Logits;
            t.Backward(logits[.., ^1].Square().Sum(), () => inner.Grad.Save("gradient"));
        }
    }

    [Fact]
    public void PairsOfTokensAndExperts_AreNobodysRows_AndSaySo()
    {
        using EngineFixture fixture = New("MixtralForCausalLM", 6);
        JobOutcome outcome = fixture.Run(fixture.Record(null, t =>
        {
            using (t.Invoke(_long)) fixture.Model.Logits.Save("other");
            using (t.Invoke(_short)) fixture.Model["model.layers.0.mlp.experts.act_fn"].Output.Save("pairs");
        }))[0];
        outcome.AssertFailed(ErrorCode.Unsupported);
    }

    private static Program Edits(EngineFixture fixture, object prompts, string[] sites) =>
        fixture.Record(prompts, _ => Edit(fixture, sites));

    /// <summary>At each site: a read, in-place edits before and after, and reads that must see them.</summary>
    private static void Edit(EngineFixture fixture, string[] sites)
    {
        for (int i = 0; i < sites.Length; i++)
        {
            Envoy module = fixture.Model[sites[i]];
            module.Input.Save($"input{i}");
            module.Input[^1] *= 0.5;
            bool isRouter = sites[i].EndsWith("mlp.gate", StringComparison.Ordinal);
            Value output = isRouter ? module.Output[1] : module.Output;
            output.Save($"before{i}");
            output[0] *= 3;
            (isRouter ? module.Output[1] : module.Output)[^1] *= -2;
            (isRouter ? module.Output[1] : module.Output).Save($"after{i}");
        }
        fixture.Model.Logits.Save("edited");
    }

    private static void AssertSame(JobOutcome expected, JobOutcome actual, string only)
    {
        foreach (string name in expected.Names.Where(n => n.StartsWith(only, StringComparison.Ordinal)))
            TensorAssert.Equal(expected.Tensor(name), actual.Tensor(name));
    }
}
