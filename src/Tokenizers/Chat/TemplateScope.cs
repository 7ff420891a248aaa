namespace Ndif.Tokenizers.Chat;

/// <summary>The names that are known at a place of a template. A loop's round has its own; what it sets is gone behind it.</summary>
internal sealed class TemplateScope(RenderBudget budget, TextWriter output, TemplateScope? outer = null)
{
    private readonly Dictionary<string, object?> _names = new(StringComparer.Ordinal);

    public RenderBudget Budget => budget;

    public TextWriter Output => output;

    public TemplateScope CreateChild(TextWriter? childOutput = null) => new(budget, childOutput ?? output, this);

    public void Set(string name, object? value) => _names[name] = value;

    public object? Get(string name)
    {
        for (TemplateScope? scope = this; scope is not null; scope = scope.Outer)
            if (scope._names.TryGetValue(name, out object? value)) return value;
        return new UndefinedValue(name);
    }

    private TemplateScope? Outer => outer;

    /// <summary>Prints a text.</summary>
    public void Write(string text) => output.Write(budget.CountOutput(text));
}
