namespace Ndif.Tokenizers.Chat;

/// <summary>How the execution of a template continues after a statement.</summary>
internal enum ControlFlow { Next, Break, Continue }

/// <summary>A statement of a template: a node that writes text or sets names.</summary>
/// <remarks>jinja2/nodes.py, Stmt</remarks>
internal abstract record TemplateStatement
{
    public int Line { get; init; }

    public abstract ControlFlow Execute(TemplateScope scope);
}

/// <summary>Text outside of tags.</summary>
internal sealed record TextNode(string Text) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        scope.Write(Text);
        return ControlFlow.Next;
    }
}

/// <summary><c>{{ expression }}</c></summary>
internal sealed record OutputNode(TemplateExpression Content) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        scope.Write(Content.EvaluateText(scope));
        return ControlFlow.Next;
    }
}

/// <summary>A sequence of statements. It adds the line of a failed statement to the exception.</summary>
internal sealed record TemplateBody(IReadOnlyList<TemplateStatement> Statements) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        foreach (TemplateStatement statement in Statements)
        {
            scope.Budget.CountStep();
            try
            {
                if (statement.Execute(scope) is not ControlFlow.Next and var flow) return flow;
            }
            catch (ChatTemplateException e) when (!e.Message.StartsWith("line ", StringComparison.Ordinal))
            {
                throw new ChatTemplateException($"line {statement.Line}: {e.Message}", e);
            }
        }
        return ControlFlow.Next;
    }
}

/// <summary><c>{% if a %} ... {% elif b %} ... {% else %} ... {% endif %}</c></summary>
internal sealed record IfNode(IReadOnlyList<(TemplateExpression Condition, TemplateBody Then)> Cases, TemplateBody? Else)
    : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        foreach (var (condition, then) in Cases)
            if (condition.IsTrue(scope)) return then.Execute(scope);
        return Else?.Execute(scope) ?? ControlFlow.Next;
    }
}

/// <summary><c>{% break %}</c> or <c>{% continue %}</c> (jinja2/ext.py, LoopControlExtension)</summary>
internal sealed record LoopControlNode(ControlFlow Flow) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope) => Flow;
}

/// <summary>
/// <c>{% set a = x %}</c>, <c>{% set a, b = x %}</c>, <c>{% set ns.a = x %}</c>, or <c>{% set a | filter %} ... {% endset %}</c>,
/// which sets the output of the block.
/// </summary>
internal sealed record SetNode(
    IReadOnlyList<string> Names,
    string? Field,
    TemplateExpression? Content,
    TemplateBody? CapturedBody,
    IReadOnlyList<(string Name, CallArgumentList Arguments)> Filters) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        object? value = Content?.Evaluate(scope);
        if (CapturedBody is not null)
        {
            using StringWriter output = new();
            CapturedBody.Execute(scope.CreateChild(output));
            value = output.ToString();
            foreach (var (name, arguments) in Filters) value = TemplateFilters.Apply(name, value, arguments.Evaluate(scope), scope.Budget);
        }
        if (Field is null)
            Unpack(Names, value, scope);
        else if (scope.Get(Names[0]) is NamespaceValue target)
            target.Fields[Field] = value;
        else
            throw new ChatTemplateException($"'{Names[0]}' is no namespace, so its '{Field}' cannot be set");
        return ControlFlow.Next;
    }

    /// <summary>Sets one name to a value, or several names to the items of the value.</summary>
    public static void Unpack(IReadOnlyList<string> names, object? value, TemplateScope scope)
    {
        if (names.Count == 1)
        {
            scope.Set(names[0], value);
            return;
        }
        List<object?> items = TemplateValues.Items(value);
        if (items.Count != names.Count)
            throw new ChatTemplateException($"{items.Count} values cannot be given to {names.Count} names");
        for (int i = 0; i < names.Count; i++) scope.Set(names[i], items[i]);
    }
}

/// <summary><c>{% for a, b in items if condition %} ... {% else %} ... {% endfor %}</c></summary>
internal sealed record ForNode(
    IReadOnlyList<string> Names,
    TemplateExpression Items,
    TemplateExpression? Condition,
    TemplateBody Body,
    TemplateBody? Else) : TemplateStatement
{
    public override ControlFlow Execute(TemplateScope scope)
    {
        object? iterable = Items.Evaluate(scope);
        scope.Budget.CountRead(iterable);
        List<object?> items = [.. TemplateValues.Items(iterable)];
        if (Condition is not null)
        {
            items.RemoveAll(item =>
            {
                TemplateScope iteration = scope.CreateChild();
                SetNode.Unpack(Names, item, iteration);
                return !Condition.IsTrue(iteration);
            });
        }
        if (items.Count == 0) return Else?.Execute(scope) ?? ControlFlow.Next;
        for (int i = 0; i < items.Count; i++)
        {
            scope.Budget.CountStep();
            TemplateScope iteration = scope.CreateChild();
            SetNode.Unpack(Names, items[i], iteration);
            iteration.Set("loop", CreateLoopVariable(items, i));
            if (Body.Execute(iteration) == ControlFlow.Break) break;
        }
        return ControlFlow.Next;
    }

    /// <summary>The variable <c>loop</c> of an iteration (jinja2/runtime.py, LoopContext).</summary>
    private static Dictionary<string, object?> CreateLoopVariable(List<object?> items, int index) => new(StringComparer.Ordinal)
    {
        ["index"] = index + 1L,
        ["index0"] = (long)index,
        ["first"] = index == 0,
        ["last"] = index == items.Count - 1,
        ["length"] = (long)items.Count,
        ["revindex"] = (long)(items.Count - index),
        ["revindex0"] = items.Count - index - 1L,
        ["previtem"] = index > 0 ? items[index - 1] : new UndefinedValue("previtem"),
        ["nextitem"] = index + 1 < items.Count ? items[index + 1] : new UndefinedValue("nextitem"),
        ["cycle"] = (TemplateFunction)(arguments => arguments.Count > 0 ? arguments[index % arguments.Count]
            : throw new ChatTemplateException("cycle needs at least one value")),
    };
}
