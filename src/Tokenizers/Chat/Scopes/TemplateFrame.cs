using System.Text;

namespace Ndif.Tokenizers.Chat.Scopes;

/// <summary>The values of the names of one scope while it runs, and the text that it writes.</summary>
internal sealed class TemplateFrame
{
    private readonly object?[] _values;

    public TemplateFrame(ScopeSymbols symbols, TemplateFrame? parent, RenderContext context, StringBuilder output)
    {
        (Symbols, Parent, Context, Output) = (symbols, parent, context, output);
        _values = new object?[symbols.Loads.Count];
        Array.Fill(_values, Missing);
    }

    /// <summary>The value of a name that has none.</summary>
    public static object Missing { get; } = new();

    public ScopeSymbols Symbols { get; }

    public TemplateFrame? Parent { get; }

    public RenderContext Context { get; }

    public StringBuilder Output { get; }

    public RenderBudget Budget => Context.Budget;

    /// <summary>Creates the frame of an inner scope. It writes to the same text unless another is given.</summary>
    public TemplateFrame CreateInner(ScopeSymbols symbols, StringBuilder? output = null) => new(symbols, this, Context, output ?? Output);

    /// <summary>Gives the names their first values. Parameters keep those that they have.</summary>
    public TemplateFrame Enter()
    {
        foreach (var (name, load) in Symbols.Loads)
        {
            if (load == NameLoad.Parameter) continue;
            _values[Symbols.GetSlot(name)] = load switch
            {
                NameLoad.Context => Context.Resolve(name),
                NameLoad.Outer => FindOuter(name),
                _ => Missing,
            };
        }
        return this;
    }

    public object? Get(int depth, int slot)
    {
        TemplateFrame frame = this;
        for (; depth > 0; depth--) frame = frame.Parent!;
        return frame._values[slot];
    }

    public object? Get(string name) => Symbols.Find(name) is var (depth, slot) ? Get(depth, slot) : Missing;

    /// <summary>Sets a name of this scope. At the top of the template, blocks and macros see it too.</summary>
    public void Set(string name, object? value)
    {
        _values[Symbols.GetSlot(name)] = value;
        if (Symbols.IsTemplate) Context.Export(name, value);
    }

    public void Write(string text)
    {
        Budget.CountOutput(text.Length);
        Output.Append(text);
    }

    /// <summary>Writes the result of a filter or call block, which must be a text.</summary>
    public void WriteResult(object? result, string block) => Write(TemplateValues.AsText(result)
        ?? throw new ChatTemplateException($"the result of the {block} block is {TemplateValues.DescribeType(result)} and no text"));

    private object? FindOuter(string name) => Symbols.Parent!.Find(name) is var (depth, slot) ? Parent!.Get(depth, slot) : Missing;
}
