namespace Ndif.Language.Tests;

/// <summary>Reads, in-place edits and replacements of one site by several invokes: each gives what it gives alone.</summary>
public sealed class SiteWriteTests(ServiceFixture service) : LanguageTests(service)
{
    private static readonly string[] _prompts = [Paris, "Hello", NewYork, Rome, "World", Paris];

    [Theory, MemberData(nameof(Modes))]
    public async Task AnInPlaceEdit_OfAViewReadBeforeAnotherInvokeReplacedItsRows_Holds(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Saved alone;
        using (Trace t = llm.Trace(Paris))
        {
            llm.Layers[1].Hidden[..] *= 3;
            alone = llm.Logits.Save();
            await t.RunAsync(Cancel);
        }
        using Trace both = llm.Trace();
        Saved edited;
        Value factor = null!;
        using (both.Invoke("Hello"))
        {
            llm.Layers[1].Hidden = llm.Layers[1].Hidden * 2;
            factor = llm.Layers[1].Hidden.Mean() * 0 + 3;
        }
        using (both.Invoke(Paris))
        {
            Value hidden = llm.Layers[1].Hidden;
            hidden[..] *= factor;
            edited = llm.Logits.Save();
        }
        using (both.Invoke("World")) llm.Layers[1].Hidden = llm.Layers[1].Hidden * 0;
        await both.RunAsync(Cancel);
        Near(alone, edited);

        using Trace waiting = llm.Trace(); // here the edit comes after the replacement, because it waits for a value of a later invoke
        Saved late;
        Barrier barrier = waiting.Barrier(2);
        using (waiting.Invoke(Paris))
        {
            Value hidden = llm.Layers[1].Hidden;
            barrier.Wait();
            hidden[..] *= 3;
            late = llm.Logits.Save();
        }
        using (waiting.Invoke("Hello"))
        {
            llm.Layers[1].Hidden = llm.Layers[1].Hidden * 0;
            barrier.Wait();
        }
        await waiting.RunAsync(Cancel);
        Near(alone, late);
    }

    /// <summary>Random sequences of accesses at one site, from a seed, batched and alone.</summary>
    [Theory, MemberData(nameof(Modes))]
    public async Task RandomAccesses_GiveTheSame_AloneAndBatched(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        for (int seed = 0; seed < (mode is ExecutionMode.Local ? 40 : 4); seed++)
        {
            List<List<Saved>> together = [], alone = [];
            using (Trace t = llm.Trace())
            {
                for (int i = 0; i < _prompts.Length; i++)
                    using (t.Invoke(_prompts[i])) together.Add(Access(llm, seed * 100 + i));
                await t.RunAsync(Cancel);
            }
            for (int i = 0; i < _prompts.Length; i++)
            {
                using Trace t = llm.Trace(_prompts[i]);
                alone.Add(Access(llm, seed * 100 + i));
                await t.RunAsync(Cancel);
            }
            for (int i = 0; i < _prompts.Length; i++)
                for (int value = 0; value < alone[i].Count; value++)
                    Near(alone[i][value], together[i][value]);
        }
    }

    /// <summary>Up to six reads, edits and replacements of the input or output of one module, each read saved.</summary>
    private static List<Saved> Access(LanguageModel llm, int seed)
    {
        var random = new Random(seed);
        List<Saved> saves = [];
        Envoy module = llm.Layers[2];
        for (int count = random.Next(7); count > 0; count--)
        {
            switch (random.Next(6))
            {
                case 0: saves.Add(module.Hidden.Save()); break;
                case 1: saves.Add(module.Output[0].Save()); break;
                case 2: module.Hidden = module.Hidden * (1 + random.Next(3)); break;
                case 3: module.Hidden[.., 0] = random.Next(3); break;
                case 4:
                    Value view = module.Hidden;
                    module.Hidden = view.Clone() + 1;
                    view[..] = 0; // the value before the replacement
                    break;
                default:
                    Value whole = module.Output;
                    module.Hidden = whole[0] * 0.5;
                    saves.Add(whole[0].Save());
                    break;
            }
        }
        saves.Add(llm.Logits.Save());
        return saves;
    }
}
