namespace Ndif.Tokenizers.Chat.Expressions;

/// <summary>An expression of a template: a node that has a value.</summary>
/// <remarks>jinja2/nodes.py, Expr</remarks>
internal abstract record TemplateExpression
{
    public abstract IEnumerable<TemplateExpression> Children { get; }

    /// <summary>Whether Jinja computes the value when it compiles the template.</summary>
    /// <remarks>jinja2/nodes.py, as_const</remarks>
    public bool IsConstant => !SelfAndDescendants.Any(expression => expression.NeedsContext);

    /// <summary>Whether the value depends on variables or calls, apart from those of the children.</summary>
    protected virtual bool NeedsContext => false;

    public object? Evaluate(TemplateFrame frame)
    {
        frame.Budget.CountStep();
        RenderContext.EnsureStack();
        return EvaluateCore(frame);
    }

    protected abstract object? EvaluateCore(TemplateFrame frame);

    public string EvaluateText(TemplateFrame frame) => TemplateValueFormatter.ToText(Evaluate(frame));

    public bool IsTrue(TemplateFrame frame) => TemplateValues.IsTrue(Evaluate(frame));

    /// <summary>The names that the expression reads.</summary>
    public IEnumerable<NameExpression> Names => SelfAndDescendants.OfType<NameExpression>();

    /// <summary>This expression and all inside it, in the order of the template.</summary>
    public IEnumerable<TemplateExpression> SelfAndDescendants
    {
        get
        {
            Stack<TemplateExpression> pending = new([this]);
            while (pending.TryPop(out TemplateExpression? expression))
            {
                yield return expression;
                foreach (TemplateExpression child in expression.Children.Reverse()) pending.Push(child);
            }
        }
    }

    /// <summary>Adds the names to the scope in which the expression is evaluated.</summary>
    public void CollectNames(ScopeSymbols symbols)
    {
        foreach (NameExpression name in Names) symbols.Load(name.Identifier);
    }

    /// <summary>Binds the names to the scopes that they are read from.</summary>
    public void Bind(ScopeSymbols symbols)
    {
        foreach (NameExpression name in Names) name.BindTo(symbols);
    }
}

internal sealed record ConstantExpression(object? Content) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [];

    protected override object? EvaluateCore(TemplateFrame frame) => Content;
}

/// <summary>The text of a block as the input of its filters.</summary>
internal sealed record CapturedTextExpression : TemplateExpression
{
    public static readonly CapturedTextExpression Instance = new();

    public override IEnumerable<TemplateExpression> Children => [];

    protected override bool NeedsContext => true;

    protected override object? EvaluateCore(TemplateFrame frame) => frame.Output.ToString();
}

internal sealed record NameExpression(string Identifier, int Line) : TemplateExpression
{
    private (int Depth, int Slot) _location;

    public override IEnumerable<TemplateExpression> Children => [];

    protected override bool NeedsContext => true;

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        object? value = frame.Get(_location.Depth, _location.Slot);
        return ReferenceEquals(value, TemplateFrame.Missing) ? UndefinedValue.OfName(Identifier) : value;
    }

    public void BindTo(ScopeSymbols symbols) => _location = symbols.Find(Identifier)
        ?? throw new ChatTemplateException($"line {Line}: the filter of a set block cannot read the name '{Identifier}'");
}

/// <summary><c>[a, b]</c></summary>
internal sealed record ListExpression(IReadOnlyList<TemplateExpression> Items) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => Items;

    protected override object? EvaluateCore(TemplateFrame frame) => Items.Select(item => item.Evaluate(frame)).ToList();
}

/// <summary><c>(a, b)</c></summary>
internal sealed record TupleExpression(IReadOnlyList<TemplateExpression> Items) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => Items;

    protected override object? EvaluateCore(TemplateFrame frame) => new TupleValue([.. Items.Select(item => item.Evaluate(frame))]);
}

/// <summary><c>{"a": b}</c></summary>
internal sealed record DictionaryExpression(IReadOnlyList<(TemplateExpression Key, TemplateExpression Value)> Entries)
    : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => Entries.SelectMany(entry => new[] { entry.Key, entry.Value });

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        MappingValue map = new();
        foreach (var (key, value) in Entries)
        {
            object? name = key.Evaluate(frame);
            map[name] = value.Evaluate(frame);
        }
        return map;
    }
}

/// <summary><c>a if condition else b</c></summary>
internal sealed record ConditionalExpression(TemplateExpression Condition, TemplateExpression Then, TemplateExpression? Else)
    : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => Else is null ? [Condition, Then] : [Condition, Then, Else];

    protected override object? EvaluateCore(TemplateFrame frame) =>
        Condition.IsTrue(frame) ? Then.Evaluate(frame)
        : Else is null ? new UndefinedValue("the value of an if without else is undefined") : Else.Evaluate(frame);
}
