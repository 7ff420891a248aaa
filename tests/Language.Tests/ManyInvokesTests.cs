namespace Ndif.Language.Tests;

/// <summary>Traces of thousands of invokes.</summary>
public sealed class ManyInvokesTests(ServiceFixture service) : LanguageTests(service)
{
    private sealed class Scaled : ModuleDefinition
    {
        private readonly Layer _scale = Step("scale", x => x * 2);

        protected override Value Forward(Value input) => _scale.Call(input);
    }

    [Fact]
    public async Task AnEditThatCallsAModule_AppliesToThousandsOfInvokes()
    {
        LanguageModel llm = Model(ExecutionMode.Local);
        Envoy scaled = llm.Layers[0].Attach("scaled", new Scaled());
        LanguageModel edited = llm.Edit(() => llm.Layers[0].Hidden = scaled.Call(llm.Layers[0].Hidden));
        using Trace alone = edited.Trace("Hello");
        Saved expected = edited.Logits[0, ^1].Save();
        await alone.RunAsync(Cancel);
        using Trace t = edited.Trace();
        List<Saved> logits = [], inner = [];
        for (int i = 0; i < 3000; i++)
        {
            using (t.Invoke("Hello"))
            {
                if (i % 100 == 0) inner.Add(scaled.Output.Save());
                logits.Add(edited.Logits[0, ^1].Save());
            }
        }
        await t.RunAsync(Cancel);
        Near(expected, logits[0]);
        Near(expected, logits[^1]);
        Assert.All(inner, value => Same(inner[0], value));
    }
}
