using Microsoft.AspNetCore.Components;
using Ndif.Workbench.Experiments;
using Ndif.Workbench.Sessions;

namespace Ndif.Workbench.Components;

/// <summary>The base of the pages that run an experiment. A page that is closed cancels its job.</summary>
public abstract class ExperimentPage : ComponentBase, IDisposable
{
    /// <summary>The most tokens of a prompt that a page draws.</summary>
    internal const int MaxDrawnTokens = 256;

    [CascadingParameter]
    public WorkbenchSession Session { get; set; } = null!;

    [CascadingParameter]
    public Selection Selection { get; set; } = null!;

    /// <summary>The runs of the page.</summary>
    internal Run Run { get; private set; } = null!;

    /// <inheritdoc/>
    protected override void OnInitialized() => Run = new Run(Session, () => InvokeAsync(StateHasChanged));

    /// <summary>Runs an experiment on the selected model, or shows what is wrong with the inputs.</summary>
    /// <param name="check">Returns what is wrong with the inputs; null if nothing is. It may ask the service for the model.</param>
    internal Task StartAsync(Func<LanguageModel, Problem?> check, Func<LanguageModel, Task> experiment)
    {
        if (Selection.Model.Length == 0)
        {
            Run.Refuse(Problem.OfInput(
                "No model is selected.", "Type the name of a model above. The page Service lists those of the service."));
            return Task.CompletedTask;
        }
        return Run.StartAsync(async () =>
        {
            LanguageModel llm = Session.GetModel(Selection.Model);
            if (check(llm) is { } problem) throw new InputException(problem);
            await experiment(llm);
        });
    }

    /// <summary>Refuses a prompt without tokens, and one that is too long to draw.</summary>
    internal static Problem? CheckPrompt(LanguageModel llm, string prompt, string name = "The prompt")
    {
        if (prompt.Length == 0) return Problem.OfInput($"{name} is empty.");
        int tokens = llm.Tokenizer.Encode(prompt).Count;
        return tokens <= MaxDrawnTokens ? null : Problem.OfInput($"{name} has {tokens} tokens; the page draws at most {MaxDrawnTokens}.",
            "Shorten it, or run the C# program below, which has no such limit.");
    }

    /// <summary>Refuses the number of a layer that the model does not have.</summary>
    /// <param name="layers">The number of layers that it has.</param>
    internal static Problem? CheckLayer(LanguageModel llm, int layer, out int layers)
    {
        layers = llm.Layers.Count;
        return layer >= 0 && layer < layers ? null : Problem.OfInput($"There is no layer {layer}.", $"The layers are 0 to {layers - 1}.");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Run.Dispose();
        GC.SuppressFinalize(this);
    }
}
