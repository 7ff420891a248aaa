using CsCheck;
using Ndif.Models.Tests;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Batching;

/// <summary>
/// Where a model puts rows and tokens into one dimension (experts, OPT's mlp), an invoke sees and edits its own rows' tokens, as it
/// would alone, also where others' padding stands between them.
/// </summary>
public sealed class FlatRowsTests
{
    /// <summary>Seed, prompts of the one (of equal length: at padding that is the user's own nothing is comparable), a prompt of another.</summary>
    private static readonly Gen<(int, int[][], int[])> s_case = Gen.Select(Gen.Int[1, 1000],
        Gen.Int[1, 5].SelectMany(length => Gen.Int[0, 39].Array[length].Array[2, 3]), Gen.Int[0, 39].Array[1, 9]);

    private static readonly int[] s_long = [1, 2, 3, 4, 5, 6, 7], s_short = [8, 9];
    private static readonly int[][] s_two = [[5, 6, 7], [8, 9, 2]];

    /// <summary>A model, and sites of it that are [rows · tokens, ...].</summary>
    public static TheoryData<string, string[]> Sites => new()
    {
        { "MixtralForCausalLM", ["model.layers.0.mlp.experts", "model.layers.1.mlp.gate"] },
        { "Qwen2MoeForCausalLM", ["model.layers.0.mlp.shared_expert.down_proj", "model.layers.0.mlp.experts", "model.layers.1.mlp.shared_expert_gate"] },
        { "Qwen3MoeForCausalLM", ["model.layers.0.mlp.gate", "model.layers.1.mlp.experts"] },
        { "opt", ["model.decoder.layers.0.fc1", "model.decoder.layers.0.fc2", "model.decoder.layers.1.activation_fn", "model.decoder.layers.1.fc2"] },
    };

    private static Rig New(string name, int seed) =>
        Rig.Of(name == "opt" ? TinyConfigs.Of("opt", 2) : TinyModel.LikeLlama(name, groups: 2, layers: 2), seed);

    [Theory]
    [MemberData(nameof(Sites))]
    public void EditsOfRowsInCompany_DoWhatTheyDoAlone(string name, string[] sites) => s_case.Sample((seed, prompts, other) =>
    {
        using Rig rig = New(name, seed);
        Outcome alone = rig.Run(Edits(rig, prompts, sites))[0].Good();
        Outcome[] both = rig.Run(rig.Record(other, _ => rig.Model.Logits.Save("logits")), Edits(rig, prompts, sites));
        AssertSame(alone, both[1].Good(), "");
        Outcome quiet = rig.Run(other, _ => rig.Model.Logits.Save("logits")).Good();
        Near.Equal(quiet.Tensor("logits"), both[0].Good().Tensor("logits"));
        Outcome invokes = rig.Run(rig.Record(null, t =>
        {
            using (t.Invoke(other)) rig.Model.Logits.Save("logits");
            using (t.Invoke(prompts)) Edit(rig, sites);
        }))[0].Good();
        AssertSame(alone, invokes, "edited");
        Near.Equal(quiet.Tensor("logits"), invokes.Tensor("logits"));
    }, iter: 12, threads: 1);

    [Theory]
    [InlineData("MixtralForCausalLM", "model.layers.0.mlp.experts")]
    [InlineData("opt", "model.decoder.layers.1.activation_fn")]
    public void ReplacedAndSkippedRows_AreTheOnesGiven(string name, string site)
    {
        using Rig rig = New(name, 3);
        foreach (bool skipped in (bool[])[false, true])
        {
            Program Change(object prompt) => rig.Record(prompt, _ =>
            {
                Envoy module = rig.Model[site];
                if (skipped) module.Skip(module.Input * 0.5);
                else module.Output = module.Output * -1;
                rig.Model.Logits.Save("edited");
            });
            AssertSame(rig.Run(Change(s_two))[0].Good(), rig.Run(Change(s_two), rig.Record(s_long, _ => rig.Model.Logits.Save("logits")))[0].Good(), "edited");
            // both skip, so that the module does not run for anyone
            AssertSame(rig.Run(Change(s_two))[0].Good(), rig.Run(Change(s_two), Change(s_long))[0].Good(), "edited");
        }
    }

    [Fact]
    public void AnotherInvokeOfTheSameRows_SeesTheEdit()
    {
        using Rig rig = New("opt", 4);
        Outcome outcome = rig.Run(rig.Record(null, t =>
        {
            using (t.Invoke(s_long)) rig.Model.Logits.Save("other");
            using (t.Invoke(s_two)) rig.Model["model.decoder.layers.0.fc1"].Output[1] = 0;
            using (t.Invoke()) rig.Model["model.decoder.layers.0.fc1"].Output.Save("all");
        }))[0].Good();
        TensorData all = outcome.Tensor("all"); // [3 rows · 7 tokens, inner]; the edited token is the second row's sixth
        Assert.Equal(21, all.Shape[0]);
        for (int token = 0; token < 21; token++)
            Assert.Equal(token == 7 + 5, all[token].ToArray<float>().All(x => x == 0));
    }

    [Fact]
    public void GradientOfRowsInCompany_IsThatAlone()
    {
        using Rig rig = New("opt", 5);
        Outcome alone = Run(t => Backward(t)).Good(), both = Run(t =>
        {
            using (t.Invoke(s_long)) rig.Model.Logits.Save("other");
            using (t.Invoke(s_two)) Backward(t, invoke: false);
        }).Good();
        Near.Equal(alone.Tensor("gradient"), both.Tensor("gradient"));
        Assert.Contains(alone.Tensor("gradient").ToArray<float>(), g => Math.Abs(g) > 1e-3);

        Outcome Run(Action<Trace> experiment)
        {
            using Trace trace = rig.Model.Trace(grad: true);
            experiment(trace);
            return rig.Run(trace.ToProgram())[0];
        }

        void Backward(Trace t, bool invoke = true)
        {
            using IDisposable? own = invoke ? t.Invoke(s_two) : null;
            Value inner = rig.Model["model.decoder.layers.0.fc1"].Output;
            inner[1] *= 2;
            Value logits = rig.Model.Logits;
            t.Backward(logits[.., ^1].Square().Sum(), () => inner.Grad.Save("gradient"));
        }
    }

    [Fact]
    public void PairsOfTokensAndExperts_AreNobodysRows_AndSaySo()
    {
        using Rig rig = New("MixtralForCausalLM", 6);
        Outcome outcome = rig.Run(rig.Record(null, t =>
        {
            using (t.Invoke(s_long)) rig.Model.Logits.Save("other");
            using (t.Invoke(s_short)) rig.Model["model.layers.0.mlp.experts.act_fn"].Output.Save("pairs");
        }))[0];
        outcome.Bad(ErrorCode.Unsupported);
    }

    private static Program Edits(Rig rig, object prompts, string[] sites) => rig.Record(prompts, _ => Edit(rig, sites));

    /// <summary>At each site a read, edits in place before and after, and reads that must see them.</summary>
    private static void Edit(Rig rig, string[] sites)
    {
        for (int i = 0; i < sites.Length; i++)
        {
            Envoy module = rig.Model[sites[i]];
            module.Input.Save($"input{i}");
            module.Input[^1] *= 0.5;
            bool isRouter = sites[i].EndsWith("mlp.gate", StringComparison.Ordinal);
            Value output = isRouter ? module.Output[1] : module.Output;
            output.Save($"before{i}");
            output[0] *= 3;
            (isRouter ? module.Output[1] : module.Output)[^1] *= -2;
            (isRouter ? module.Output[1] : module.Output).Save($"after{i}");
        }
        rig.Model.Logits.Save("edited");
    }

    private static void AssertSame(Outcome expected, Outcome actual, string only)
    {
        foreach (string name in expected.Names.Where(n => n.StartsWith(only, StringComparison.Ordinal)))
            Near.Equal(expected.Tensor(name), actual.Tensor(name));
    }
}
