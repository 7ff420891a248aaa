namespace Ndif.Engine.Tests.Interleaving;

/// <summary>Persistent edits: on every prompt, before what the trace records.</summary>
public sealed class EditTests : IDisposable
{
    private static readonly int[] s_long = [3, 1, 4, 1], s_short = [9, 2];

    private readonly Rig _rig = Rig.GPT2();

    public void Dispose() => _rig.Dispose();

    private LanguageModel Model => _rig.Model;

    private void Edit() => Model.Layers[0].Hidden[.., ^1] = 3;

    private TensorData Expected(int[] prompt, bool edit) => _rig.Run(prompt, _ =>
    {
        if (edit) Edit();
        Model.Logits.Save("logits");
    }).Good().Tensor("logits");

    [Fact]
    public void AnEdit_IsOnEachPrompt_OfTheEditedModelAlone()
    {
        LanguageModel edited = Model.Edit(Edit);
        foreach (LanguageModel model in (LanguageModel[])[edited, Model])
        {
            using Trace t = model.Trace();
            using (t.Invoke(s_long))
            {
                model.Layers[0].Hidden[.., ^1].Save("seen");
                model.Logits.Save("long");
            }
            using (t.Invoke(s_short)) model.Logits.Save("short");
            Outcome run = _rig.Run(t.ToProgram(), _rig.Record(s_long, _ => Model.Logits.Save("beside")))[0].Good();
            bool isEdited = model == edited;
            Near.Equal(Expected(s_long, isEdited), run.Tensor("long"));
            Near.Equal(Expected(s_short, isEdited), run.Tensor("short"));
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
            using Trace t = edited.Trace(s_long);
            edited.Layers[1].Input.Save("input");
            edited.Layers[1].Hidden.Save("hidden");
            Outcome run = _rig.Run(t.ToProgram())[0].Good();
            Assert.Equal(!cleared, run.Tensor("hidden").ToArray<float>().All(x => x == 0));
            Assert.Equal(!cleared, run.Tensor("input")[.., ^1].ToArray<float>().All(x => x == 3));
        }
    }
}
