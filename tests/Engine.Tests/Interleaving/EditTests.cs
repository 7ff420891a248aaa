using Ndif.Engine.Tests.Support;

namespace Ndif.Engine.Tests.Interleaving;

/// <summary>Persistent edits, which apply to every prompt before the statements of the trace.</summary>
public sealed class EditTests : IDisposable
{
    private static readonly int[] _long = [3, 1, 4, 1], _short = [9, 2];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private void Edit() => Model.Layers[0].Hidden[.., ^1] = 3;

    private TensorData Expected(int[] prompt, bool edit) => _fixture.Run(prompt, _ =>
    {
        if (edit) Edit();
        Model.Logits.Save("logits");
    }).AssertCompleted().Tensor("logits");

    [Fact]
    public void AnEdit_IsOnEachPrompt_OfTheEditedModelAlone()
    {
        LanguageModel edited = Model.Edit(Edit);
        foreach (LanguageModel model in (LanguageModel[])[edited, Model])
        {
            using Trace t = model.Trace();
            using (t.Invoke(_long))
            {
                model.Layers[0].Hidden[.., ^1].Save("seen");
                model.Logits.Save("long");
            }
            using (t.Invoke(_short)) model.Logits.Save("short");
            JobOutcome run = _fixture.Run(t.ToProgram(), _fixture.Record(_long, _ => Model.Logits.Save("beside")))[0].AssertCompleted();
            bool isEdited = model == edited;
            TensorAssert.Equal(Expected(_long, isEdited), run.Tensor("long"));
            TensorAssert.Equal(Expected(_short, isEdited), run.Tensor("short"));
            Assert.Equal(isEdited, run.Tensor("seen").ToArray<float>().All(x => x == 3));
        }
    }

    [Fact]
    public void EditsAddUp_AndAreTakenBack()
    {
        LanguageModel edited = Model.Edit(Edit);
        edited.Edit(() => Model.Layers[1].Hidden[..] = 0, inPlace: true);
        foreach (bool cleared in (bool[])[false, true])
        {
            if (cleared) edited.ClearEdits();
            using Trace t = edited.Trace(_long);
            edited.Layers[1].Input.Save("input");
            edited.Layers[1].Hidden.Save("hidden");
            JobOutcome run = _fixture.Run(t.ToProgram())[0].AssertCompleted();
            Assert.Equal(!cleared, run.Tensor("hidden").ToArray<float>().All(x => x == 0));
            Assert.Equal(!cleared, run.Tensor("input")[.., ^1].ToArray<float>().All(x => x == 3));
        }
    }

    [Fact]
    public void AnEdit_AppliesToEveryStep_OfAGeneration()
    {
        LanguageModel edited = Model.Edit(() => Model.Layers[1].Mlp.Output[..] = 0);
        using Trace t = edited.Generate(_long, maxNewTokens: 4);
        foreach (int step in t.Iter[..]) edited.Layers[1].Mlp.Output.Save($"mlp{step}");
        JobOutcome run = _fixture.Run(t.ToProgram())[0].AssertCompleted();
        for (int step = 0; step < 4; step++) Assert.All(run.Tensor($"mlp{step}").ToArray<float>(), x => Assert.Equal(0, x));
        Assert.Empty(run.Warnings);
    }

    [Fact]
    public void AnEdit_ThatSelectsACall_AppliesToThatCall()
    {
        LanguageModel edited = Model.Edit(() => Model.Layers[1].Mlp.Next(2).Output[..] = 0);
        using Trace t = edited.Generate(_long, maxNewTokens: 4);
        foreach (int step in t.Iter[..]) edited.Layers[1].Mlp.Output.Save($"mlp{step}");
        JobOutcome run = _fixture.Run(t.ToProgram())[0].AssertCompleted();
        bool[] isZero = [.. Enumerable.Range(0, 4).Select(step => run.Tensor($"mlp{step}").ToArray<float>().All(x => x == 0))];
        Assert.Equal([false, false, true, false], isZero);
    }

    [Fact]
    public void Stop_EndsThePass_OfAnEditedModel()
    {
        LanguageModel edited = Model.Edit(() => Model.Layers[1].Mlp.Output[..] = 0);
        using Trace t = edited.Generate(_long, maxNewTokens: 40);
        edited.Layers[0].Hidden.Save("hidden");
        t.Stop();
        Assert.Equal(_long.Length, _fixture.Run(t.ToProgram())[0].AssertCompleted().Tokens);
    }
}
