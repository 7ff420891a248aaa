namespace Ndif.Tokenizers.Chat.Statements;

/// <summary>The left side of an assignment.</summary>
internal abstract record AssignmentTarget
{
    public abstract IEnumerable<NameUse> NameUses { get; }

    /// <summary>Adds the names to the scope that is assigned to.</summary>
    /// <param name="symbols">The scope.</param>
    /// <param name="asParameter">True for a loop or with block, which gives its names their values itself.</param>
    public abstract void CollectNames(ScopeSymbols symbols, bool asParameter = false);

    public virtual void Bind(ScopeSymbols symbols)
    {
    }

    /// <summary>Checks, before the value is evaluated, that the target can be assigned to.</summary>
    public virtual void Check(TemplateFrame frame)
    {
    }

    public abstract void Assign(TemplateFrame frame, object? value);
}

internal sealed record NameTarget(string Name) : AssignmentTarget
{
    public override IEnumerable<NameUse> NameUses => [new(Name, false)];

    public override void CollectNames(ScopeSymbols symbols, bool asParameter = false)
    {
        if (asParameter) symbols.Declare(Name);
        else symbols.Store(Name);
    }

    public override void Assign(TemplateFrame frame, object? value) => frame.Set(Name, value);
}

/// <summary><c>namespace.field</c></summary>
internal sealed record NamespaceTarget(NameExpression Namespace, string Field) : AssignmentTarget
{
    public override IEnumerable<NameUse> NameUses => [];

    public override void CollectNames(ScopeSymbols symbols, bool asParameter = false) => symbols.Load(Namespace.Identifier);

    public override void Bind(ScopeSymbols symbols) => Namespace.BindTo(symbols);

    public override void Check(TemplateFrame frame) => Evaluate(frame);

    public override void Assign(TemplateFrame frame, object? value) => Evaluate(frame).Fields[Field] = value;

    private NamespaceValue Evaluate(TemplateFrame frame) => Namespace.Evaluate(frame) as NamespaceValue
        ?? throw new ChatTemplateException($"'{Namespace.Identifier}' is no namespace, so its '{Field}' cannot be set");
}

/// <summary><c>a, b</c></summary>
internal sealed record TupleTarget(IReadOnlyList<AssignmentTarget> Items) : AssignmentTarget
{
    public override IEnumerable<NameUse> NameUses => Items.SelectMany(item => item.NameUses);

    public override void CollectNames(ScopeSymbols symbols, bool asParameter = false)
    {
        foreach (AssignmentTarget item in Items) item.CollectNames(symbols, asParameter);
    }

    public override void Bind(ScopeSymbols symbols)
    {
        foreach (AssignmentTarget item in Items) item.Bind(symbols);
    }

    public override void Check(TemplateFrame frame)
    {
        foreach (AssignmentTarget item in Items) item.Check(frame);
    }

    public override void Assign(TemplateFrame frame, object? value)
    {
        List<object?> items = [.. TemplateValues.Iterate(value).Take(Items.Count + 1)];
        if (items.Count != Items.Count)
        {
            string count = items.Count > Items.Count ? $"{TemplateValues.Length(value) ?? items.Count}" : $"{items.Count}";
            throw new ChatTemplateException($"{count} values cannot be given to {Items.Count} names");
        }
        for (int i = 0; i < items.Count; i++) Items[i].Assign(frame, items[i]);
    }
}
